"""What is drawn: a prediction beside what it is about; and what drawing it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from einops import repeat
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from pipelines.batch import Batch
from pipelines.masking.plan import MaskPlan
from trainers.nn.gather import gather_tokens
from trainers.recipe import Target


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a network says of one target at the target places of some samples, all on the CPU.

    Args:
        target: The target.
        modality: Whose tokens are predicted.
        batch: The samples, masked as the network saw them; every one of them has the modality.
        values: What was predicted at the target places of the plan, in its order.
    """

    target: Target
    modality: Any
    batch: Batch
    values: Float[Tensor, "batch hidden dim"]

    @property
    def plan(self) -> MaskPlan:
        """Which tokens of the modality were seen, and which were predicted."""
        return self.batch.plans[self.modality.name]

    @property
    def inputs(self) -> Shaped[Tensor, "batch ..."]:
        """What the batch holds of the modality."""
        return self.batch.inputs[self.modality.name]

    @property
    def seen(self) -> Bool[Tensor, "batch tokens"]:
        """The tokens that the network was shown."""
        return marked(self.plan.visible, self.plan.visible_padding, length=self.modality.num_tokens)

    @property
    def hidden(self) -> Bool[Tensor, "batch tokens"]:
        """The tokens that it had to predict."""
        return marked(self.plan.target, self.plan.target_padding, length=self.modality.num_tokens)

    def of_hidden(self, tokens: Shaped[Tensor, "batch tokens values"]) -> Shaped[Tensor, "batch hidden values"]:
        """Return those tokens that were predicted, in the order of the prediction."""
        return gather_tokens(tokens, self.plan.target)

    def wanted(self) -> Shaped[Tensor, "batch tokens values"]:
        """Return what the target asks for at all tokens; only of targets that are computed from the batch."""
        return self.target.build(self.modality)(self.batch)

    def placed(
        self, tokens: Shaped[Tensor, "batch tokens values"], values: Shaped[Tensor, "batch hidden values"]
    ) -> Shaped[Tensor, "batch tokens values"]:
        """Return `tokens` with those that were predicted replaced by `values`."""
        return place(tokens, self.plan.target, values, padding=self.plan.target_padding)


def place(
    tokens: Shaped[Tensor, "batch tokens values"],
    index: Int[Tensor, "batch chosen"],
    values: Shaped[Tensor, "batch chosen values"],
    *,
    padding: Bool[Tensor, "batch chosen"] | None,
) -> Shaped[Tensor, "batch tokens values"]:
    """Return `tokens` with those at `index` replaced by `values`, but for the padded ones."""
    spare = torch.cat([tokens, tokens[:, :1]], dim=1)
    rows = repeat(_without(padding, index, tokens.shape[1]), "batch chosen -> batch chosen n", n=tokens.shape[2])
    return spare.scatter(1, rows, values)[:, :-1]


def marked(
    index: Int[Tensor, "batch chosen"], padding: Bool[Tensor, "batch chosen"] | None, *, length: int
) -> Bool[Tensor, "batch {length}"]:
    """Return which of `length` tokens are named by an index."""
    none = torch.zeros(len(index), length + 1, dtype=torch.bool)
    return none.scatter(1, _without(padding, index, length), torch.ones_like(index, dtype=torch.bool))[:, :-1]


def _without(
    padding: Bool[Tensor, "batch chosen"] | None, index: Int[Tensor, "batch chosen"], spare: int
) -> Int[Tensor, "batch chosen"]:
    """Return the index with padded places moved to the spare one."""
    return index if padding is None else index.masked_fill(padding, spare)


Stacked = Literal["beside", "below"]
"""How the tiles of one sample stand to each other."""

ORDER: dict[Stacked, str] = {"beside": "Left to right", "below": "Top to bottom"}
"""How the order of tiles is told."""


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Pictures of samples, of each as many as of every other, how they stand, and a note that explains them."""

    pictures: UInt8[np.ndarray, "samples tiles height width 3"]
    note: str
    stacked: Stacked = "beside"


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What might stand at a place, and how probable the network thinks it is."""

    word: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class HiddenWord:
    """A place of a text that was predicted: what belongs there, what the network read there, if anything, what it guesses."""

    place: int
    word: str
    read: str | None
    guesses: tuple[Guess, ...]


@dataclass(frozen=True, kw_only=True)
class Word:
    """One token of a text, and what became of it."""

    word: str
    role: Literal["seen", "hidden", "left out"]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A text of the sample `key`, and the guesses at its hidden words."""

    key: str
    words: tuple[Word, ...]
    hidden: tuple[HiddenWord, ...]


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """Texts with guesses, and a note that explains them."""

    captions: tuple[Caption, ...]
    note: str


Drawing = Tiles | Guesses
"""What is shown of a prediction."""

Drawer = Callable[[Prediction], Drawing]
"""Shows a prediction."""
