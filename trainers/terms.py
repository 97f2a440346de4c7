"""The terms of an objective: what each reads of the predictions of a network and of the goals of a batch, and its value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shards.errors import SettingsError
from trainers.contrast import Directions, contrastive_loss, matching_loss
from trainers.nn.network import matching, summary
from trainers.objectives import MEANS, Loss, Mean


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What should be predicted for a batch.

    Args:
        wanted: By target: float32 [batch, places, dim], int64 [batch, places, 1] for token ids, without the axis of places
            where a target is one of the whole sample.
        padding: By target, True where a place is none, [batch, places]; one that is not named has no such places.
        absent: By modality, True where a sample lacks it, [batch]; one that is not named is in every sample.
    """

    wanted: Mapping[str, Tensor]
    padding: Mapping[str, Bool[Tensor, "batch places"]] = field(default_factory=dict)
    absent: Mapping[str, Bool[Tensor, " batch"]] = field(default_factory=dict)


@runtime_checkable
class ObjectiveTerm(Protocol):
    """One weighted term of an objective."""

    @property
    def name(self) -> str:
        """What the term is called in metrics."""
        ...

    @property
    def weight(self) -> float:
        """What its value is multiplied with in the objective."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the predictions that it needs."""
        ...

    def value(self, predictions: Mapping[str, Tensor], goals: Goals) -> Float[Tensor, ""]:
        """Return the value before it is weighted."""
        ...


@dataclass(frozen=True, kw_only=True)
class Term:
    """The mean of `loss` between what was predicted and wanted of one target, over `mean`: all tokens alike, or by sample."""

    target: str
    loss: Loss
    mean: Mean = "tokens"
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What the term is called in metrics."""
        return self.target

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the predictions that it needs."""
        return (self.target,)

    def value(self, predictions: Mapping[str, Tensor], goals: Goals) -> Float[Tensor, ""]:
        """See ObjectiveTerm."""
        errors = self.loss(predictions[self.target], goals.wanted[self.target])
        return MEANS[self.mean](errors, goals.padding.get(self.target))


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """What the network reports by itself: the mean of `predictions[name]`."""

    name: str
    weight: float = 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the predictions that it needs."""
        return (self.name,)

    def value(self, predictions: Mapping[str, Tensor], goals: Goals) -> Float[Tensor, ""]:
        """See ObjectiveTerm."""
        return predictions[self.name].mean()


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Tell which summaries of two modalities belong to one sample, among those of all processes (InfoNCE).

    Samples that lack one of the two take no part. With `--accumulate`, every part is a batch of its own.

    Args:
        between: The modalities.
        temperature: Cosines are divided by it.
        directions: "both", or "first": only which of the first modality belongs to each of the second.
        name: What the term is called.
        weight: What its value is multiplied with.
    """

    between: tuple[str, str]
    temperature: float
    directions: Directions = "both"
    name: str = "contrast"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise SettingsError(f"A temperature of {self.temperature} was asked for; give one above 0.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the predictions that it needs."""
        return tuple(map(summary, self.between))

    def value(self, predictions: Mapping[str, Tensor], goals: Goals) -> Float[Tensor, ""]:
        """See ObjectiveTerm."""
        first, second = (predictions[name] for name in self.reads)
        return contrastive_loss(
            first,
            second,
            present=both_present(goals, self.between, like=first),
            temperature=self.temperature,
            directions=self.directions,
        )


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Tell pairs of two modalities that belong to one sample from pairs that were put together (binary cross-entropy).

    The network scores each sample as it is, and the second modality of every sample beside the first of the one before it,
    within the samples of one process (and, with `--accumulate`, of one part).
    """

    between: tuple[str, str]
    name: str = "matching"
    weight: float = 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the predictions that it needs."""
        return (matching(*self.between),)

    def value(self, predictions: Mapping[str, Tensor], goals: Goals) -> Float[Tensor, ""]:
        """See ObjectiveTerm."""
        scores = predictions[self.reads[0]]
        return matching_loss(scores, present=both_present(goals, self.between, like=scores))


def both_present(goals: Goals, between: tuple[str, str], *, like: Tensor) -> Bool[Tensor, " batch"]:
    """Return which samples have both modalities."""
    present = torch.ones(len(like), dtype=torch.bool, device=like.device)
    for name in between:
        if name in goals.absent:
            present = present & ~goals.absent[name]
    return present
