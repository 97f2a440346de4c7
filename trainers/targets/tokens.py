"""Ids that a tokenizer gave every token, read from the dataset: which of a vocabulary each one is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Tokens
from trainers.recipe import Places
from trainers.targets.computed import ComputedTarget


@dataclass(frozen=True, kw_only=True)
class TokenTarget:
    """Predict one of `vocabulary` ids for each token.

    Args:
        vocabulary: How many ids the tokenizer has.
        table: The stored target, as `trainers.stored` understands it: `tokens`, or an id.
        suggested: Settings of a teacher that gives such ids, for whoever has none stored yet.
        places: Where they are predicted.
        name: Its name in the recipe.
        modality: Whose tokens they belong to.
    """

    vocabulary: int
    table: str = "tokens"
    suggested: tuple[str, ...] = ("tokenizer=RUN",)
    places: Places = "target"
    name: str = "tokens"
    modality: str = "image"

    @property
    def stored(self) -> str:
        """The stored target to read."""
        return self.table

    def made_with(self, modality: Any) -> tuple[str, ...]:  # noqa: ANN401 - any grid of tokens
        """Return settings of a teacher that fits."""
        return self.suggested

    def stored_shape(self, modality: Any) -> tuple[int]:  # noqa: ANN401
        """Return tokens."""
        return (modality.num_tokens,)

    def dim(self, modality: Any) -> int:  # noqa: ANN401
        """Return the number of ids, each of which gets a logit."""
        return self.vocabulary

    def build(self, modality: Any) -> Callable[[Batch], Tensor]:  # noqa: ANN401
        """Return the function from a batch to int64 ids [batch, tokens, 1]."""

        def read(batch: Batch) -> Tensor:
            return batch.stored[self.table][..., None]

        return read


@dataclass(frozen=True, kw_only=True)
class ShownTokens(ComputedTarget):
    """Predict which id stands at a place of stored tokens that are a modality themselves."""

    name: str
    modality: str

    def dim(self, modality: Tokens) -> int:
        """Return the number of ids, each of which gets a logit."""
        return modality.vocabulary

    def build(self, modality: Tokens) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to int64 ids [batch, tokens, 1]."""

        def read(batch: Batch) -> Tensor:
            return batch.inputs[modality.name][..., None]

        return read
