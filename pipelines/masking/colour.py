"""Masks of coloured noise: filtered white noise is cut at a level, which gives patterns of a chosen coarseness."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, remaining_share, require_share
from pipelines.modalities import Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError

Colour = Literal["red", "green", "blue", "purple"]

_MARGIN = 3
"""Noise reaches this many widths of the wider filter beyond the grid, so that opposite edges have nothing in common."""


@dataclass(frozen=True, kw_only=True)
class ColourNoisePatches:
    """Hide the share `ratio` of the tokens where filtered white noise is highest (Hinojosa et al., arXiv:2407.13036).

    Filters are made of Gaussians in the frequency domain, `narrow` and `wide` standard deviations in tokens: red passes low
    frequencies (wide), blue high ones (all but narrow), green a band between (narrow without wide), purple all but that
    band. floor(tokens * (1 - ratio)) stay visible, at least one and never all (exact, as random masking).

    Deviation from the published code, which crops pre-computed pictures of noise and draws the width of the filter
    anew: noise is drawn for each sample and epoch, with one filter, on the grid of tokens (of 1 to 3 axes).

    Raises:
        SettingsError: The ratio is not between 0 and 1, the colour is unknown, or not 0 < narrow < wide.
    """

    ratio: float
    colour: Colour = "green"
    narrow: float = 0.5
    wide: float = 2.0

    def __post_init__(self) -> None:
        require_share(self.ratio)
        if self.colour not in ("red", "green", "blue", "purple"):
            raise SettingsError(f"Noise of colour '{self.colour}' was asked for; give red, green, blue or purple.")
        if not 0 < self.narrow < self.wide:
            raise SettingsError(
                f"Filters of {self.narrow} and {self.wide} tokens were asked for; give 0 < narrow < wide."
            )

    def num_visible(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` stay visible."""
        return between_one_and_all_but_one(remaining_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`."""
        shape = tuple(side + ceil(_MARGIN * self.wide) for side in modality.grid)
        white = context.draws.uniforms(int(np.prod(shape)), purpose=f"mask/{modality.name}").reshape(-1, *shape)
        axes = tuple(range(1, white.ndim))
        coloured = np.fft.irfftn(np.fft.rfftn(white, axes=axes) * self._response(shape), s=shape, axes=axes)
        inside = coloured[(slice(None), *(slice(side) for side in modality.grid))]
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, lambda tokens: tokens - self.num_visible(tokens), most=modality.num_tokens)
        return ranked_plan(inside.reshape(-1, modality.num_tokens), num_real=num_real, num_hidden=num_hidden)

    def _response(self, shape: tuple[int, ...]) -> Floats:
        """Return the factor of every frequency of the real Fourier transform of an array of `shape`."""
        lines = [np.fft.fftfreq(side) for side in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
        squared = sum(np.square(frequency) for frequency in np.meshgrid(*lines, indexing="ij"))
        low, high = (np.exp(-2 * np.pi**2 * width**2 * squared) for width in (self.wide, self.narrow))
        responses: dict[Colour, Floats] = {"red": low, "blue": 1 - high, "green": high - low, "purple": 1 - high + low}
        return responses[self.colour]
