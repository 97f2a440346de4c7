"""Losses: what was predicted and what was wanted at the same places in, one number out, computed in float32."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from shards.errors import SettingsError


def mean_squared_error(
    predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]
) -> Float[Tensor, ""]:
    """Return the mean over all values of the squared difference."""
    return (predicted.float() - wanted.float()).square().mean()


def mean_absolute_error(
    predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]
) -> Float[Tensor, ""]:
    """Return the mean over all values of the absolute difference."""
    return (predicted.float() - wanted.float()).abs().mean()


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

    def __call__(
        self, predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]
    ) -> Float[Tensor, ""]:
        """Return the mean over all values."""
        return functional.smooth_l1_loss(predicted.float(), wanted.float(), beta=self.beta)


def cosine_distance(predicted: Float[Tensor, "*places dim"], wanted: Float[Tensor, "*places dim"]) -> Float[Tensor, ""]:
    """Return one minus the mean cosine between what was predicted and wanted of a place: 0 if all point the same way."""
    return 1 - functional.cosine_similarity(predicted.float(), wanted.float(), dim=-1).mean()


def cross_entropy(
    predicted: Float[Tensor, "*places vocabulary"], wanted: Int[Tensor, "*places 1"]
) -> Float[Tensor, ""]:
    """Return the mean over places of minus the log of the probability, by softmax, of the wanted id."""
    return functional.cross_entropy(predicted.float().flatten(end_dim=-2), wanted.flatten())
