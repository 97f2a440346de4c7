"""Vectors as colours: three principal components of many, as red, green and blue."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipelines.target_coding import fit_projection

_STRETCH = (0.02, 0.98)
_NOISE = 1e-5
"""A component that varies by less than this part of the largest value is rounding, and is not made visible."""


@dataclass(frozen=True, kw_only=True)
class FeatureColours:
    """Colours of vectors; equal vectors have equal colours.

    Args:
        projection: The mean, then up to three principal components.
        low: Of each component, the value that is darkest: the 2nd percentile.
        high: The value that is brightest: the 98th percentile.
    """

    projection: Float[Tensor, "rows width"]
    low: Float[Tensor, " components"]
    high: Float[Tensor, " components"]

    @classmethod
    def fit(cls, tokens: Float[Tensor, "tokens width"]) -> "FeatureColours":
        """Choose colours that tell these vectors apart; those that are not finite do not count.

        Components that there are not, as in vectors of two values, are half bright everywhere.
        """
        finite = tokens[tokens.isfinite().all(dim=1)]
        if not len(finite):
            finite = torch.zeros(1, tokens.shape[1])
        projection = fit_projection(finite, min(3, tokens.shape[1]))
        placed = (finite - projection[0]) @ projection[1:].T
        low, high = torch.quantile(placed, torch.tensor(_STRETCH), dim=0)
        is_noise = high - low < _NOISE * finite.abs().max()
        return cls(projection=projection, low=low, high=torch.where(is_noise, low, high))

    def of(self, tokens: Float[Tensor, "tokens width"]) -> UInt8[np.ndarray, "tokens 4"]:
        """Return the colours of vectors with their opacity, which is 0 where a vector is not finite."""
        placed = (tokens - self.projection[0]) @ self.projection[1:].T
        spread = self.high - self.low
        bright = torch.where(spread > 0, (placed - self.low) / spread.clamp(min=1e-12), 0.5)
        colours = torch.full((len(tokens), 4), 0.5)
        colours[:, : bright.shape[1]] = bright.nan_to_num(0.5, 1.0, 0.0).clamp(0, 1)
        colours[:, 3] = tokens.isfinite().all(dim=1)
        return (colours * 255).round().to(torch.uint8).numpy()
