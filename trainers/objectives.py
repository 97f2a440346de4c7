"""Losses: what was predicted and what was wanted at the target tokens in, one number out."""

from jaxtyping import Float
from torch import Tensor


def mean_squared_error(
    predicted: Float[Tensor, "batch target dim"], wanted: Float[Tensor, "batch target dim"]
) -> Float[Tensor, ""]:
    """Return the mean over all values of the squared difference, computed in float32."""
    return (predicted.float() - wanted.float()).square().mean()
