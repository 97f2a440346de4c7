"""Losses: what was predicted and what was wanted at the same places in, what is wrong at each place out, in float32.

A loss gives `Errors`, and `over_tokens` or `over_samples` make one number of them, in which places that are none do not count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from shards.errors import SettingsError
from trainers.exchange import averaged

FEWEST = 1e-5
"""Nothing at all is divided by this, and stays nothing."""


class Errors(NamedTuple):
    """What is wrong at each place: the `total` over some `numbers`; over one everywhere, if it is not said."""

    total: Float[Tensor, "*places"]
    numbers: Float[Tensor, "*places"] | None = None


Loss = Callable[[Tensor, Tensor], Errors]
Mean = Literal["tokens", "samples"]
"""Over all tokens of a batch alike, or over those of each sample first."""


def over_tokens(errors: Errors, padding: Bool[Tensor, "*places"] | None = None) -> Float[Tensor, ""]:
    """Return the mean over all places of a batch, on all processes together; 0 where there is none.

    All processes exchange their counts, also one whose rows happen to be full.
    """
    total, count = _counted(errors, padding)
    return total.sum() / averaged(count.sum()).clamp(min=FEWEST)


def over_samples(errors: Errors, padding: Bool[Tensor, "batch ..."] | None = None) -> Float[Tensor, ""]:
    """Return the mean over samples of the mean over their places; samples without any place do not count."""
    total, count = (values.flatten(1).sum(dim=1) for values in _counted(errors, padding))
    means = total / count.clamp(min=FEWEST)
    return means.sum() / averaged((count > 0).float().sum()).clamp(min=FEWEST)


MEANS: dict[Mean, Callable[[Errors, Tensor | None], Tensor]] = {"tokens": over_tokens, "samples": over_samples}


def _counted(errors: Errors, padding: Bool[Tensor, "*places"] | None) -> tuple[Tensor, Tensor]:
    """Return totals and counts of all places, zero where there is padding."""
    count = torch.ones_like(errors.total) if errors.numbers is None else errors.numbers.float()
    if padding is None:
        return errors.total, count
    return errors.total.masked_fill(padding, 0.0), count.masked_fill(padding, 0.0)


def squared_error(predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]) -> Errors:
    """Return the mean squared difference at each place."""
    return Errors((predicted.float() - wanted.float()).square().mean(dim=-1))


def absolute_error(predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]) -> Errors:
    """Return the mean absolute difference at each place."""
    return Errors((predicted.float() - wanted.float()).abs().mean(dim=-1))


@dataclass(frozen=True, kw_only=True)
class SmoothL1:
    """The mean of squared differences below `beta`, halved and over beta, and of what absolute ones are above beta / 2.

    Raises:
        SettingsError: `beta` is not above 0.
    """

    beta: float

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise SettingsError(f"Smooth L1 bends at {self.beta}; give a beta above 0.")

    def __call__(self, predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]) -> Errors:
        """Return the mean over the values of each place."""
        smooth = functional.smooth_l1_loss(predicted.float(), wanted.float(), beta=self.beta, reduction="none")
        return Errors(smooth.mean(dim=-1))


def cosine_distance(predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]) -> Errors:
    """Return one minus the cosine between what was predicted and wanted of a place: 0 if they point the same way."""
    return Errors(1 - functional.cosine_similarity(predicted.float(), wanted.float(), dim=-1))


def cross_entropy(predicted: Float[Tensor, "*places vocabulary"], wanted: Int[Tensor, "*places 1"]) -> Errors:
    """Return minus the log of the probability, by softmax, of the wanted id at each place, in nats."""
    return Errors(_cross_entropies(predicted, wanted[..., 0]))


def cross_entropy_after_first(
    predicted: Float[Tensor, "*places vocabulary"], wanted: Int[Tensor, "*places 1"]
) -> Errors:
    """Return the same of texts that are written word by word, whose first word is given and does not count."""
    total = _cross_entropies(predicted, wanted[..., 0])
    count = torch.ones_like(total)
    count[..., :1] = 0.0
    return Errors(total * count, count)


def _cross_entropies(
    scores: Float[Tensor, "*places vocabulary"], ids: Shaped[Tensor, "*places"]
) -> Float[Tensor, "*places"]:
    flat = functional.cross_entropy(scores.float().flatten(end_dim=-2), ids.flatten(), reduction="none")
    return flat.reshape(ids.shape)
