"""What a teacher said, as pictures that lie on what it was shown: one class for each way to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Integer, Shaped

from pipelines.inspect import wording
from pipelines.inspect.colours import MAGMA, shade
from pipelines.inspect.glyphs import draw_histograms, token_histograms
from pipelines.inspect.pictures import nearest, smaller
from pipelines.inspect.rasters import MAX_IDS, Identity, show_band, show_composite, show_ids, show_logmel
from pipelines.inspect.targets.colours import FeatureColours
from pipelines.inspect.targets.grids import Grid
from pipelines.inspect.targets.seen import LONGEST, Picture, stretched

_GLYPHS_LONGEST = 448
_MAP_OVER_PICTURE = 0.65
_FEW = 6
"""Values of an array that are written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A scale of colours by name, and what its ends stand for."""

    name: str
    low: str
    high: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a teacher said about a sample.

    Args:
        pictures: RGB or RGBA pictures [height, width, channels], one for each of what it was shown; perhaps none.
        is_exact: Whether they have few colours with hard edges.
        words: What they mean, or what was said.
        ramp: The scale of their colours.
        identities: What colours stand for ids, the most frequent first, `more_ids` left out.
        more_ids: How many were left out.
    """

    pictures: tuple[Picture, ...] = ()
    is_exact: bool = True
    words: str = ""
    ramp: Ramp | None = None
    identities: tuple[Identity, ...] = ()
    more_ids: int = 0


@runtime_checkable
class Drawing(Protocol):
    """A way to draw what a teacher says."""

    def __call__(self, said: Shaped[np.ndarray, "..."], pictures: Sequence[Picture], places: Sequence[int]) -> Drawn:
        """Return what a teacher said about a sample, drawn to lie on what it was shown.

        Args:
            said: What it said, float32 or int64 [*shape].
            pictures: What it was shown; not of a kind that can be drawn where a `Drawing` needs none.
            places: Which of the pictures are drawn on; of a clip not all of them are.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """Histograms of gradients as strokes along the edges, the mean over colour channels."""

    grid: Grid

    def __call__(
        self, said: Float[np.ndarray, "tokens values"], pictures: Sequence[Picture], places: Sequence[int]
    ) -> Drawn:
        """See Drawing."""
        maps = torch.from_numpy(self.grid.maps(said)[list(places)]).nan_to_num(0.0, 0.0, 0.0)
        tokens = rearrange(maps, "time row column value -> time (row column) value")
        drawn = draw_histograms(token_histograms(tokens, grid=(self.grid.rows, self.grid.columns)))
        return Drawn(
            pictures=tuple(smaller(picture, longest=_GLYPHS_LONGEST) for picture in drawn),
            is_exact=False,
            words="strokes along the edges of each cell, the brighter the stronger",
        )


@dataclass(frozen=True, kw_only=True)
class Components:
    """Vectors in colours that mean the same on every card."""

    grid: Grid
    colours: FeatureColours

    def __call__(
        self, said: Float[np.ndarray, "tokens width"], pictures: Sequence[Picture], places: Sequence[int]
    ) -> Drawn:
        """See Drawing."""
        maps = self.grid.maps(self.colours.of(torch.from_numpy(said)))
        return Drawn(
            pictures=tuple(stretched(maps[place], like=pictures[place]) for place in places),
            words="three principal components of what is shown on this page as red, green and blue",
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """Patches of log-mel features, put together again; only where they run by time, then band, as those of sound do."""

    grid: Grid
    patch: int

    def __call__(
        self, said: Float[np.ndarray, "tokens values"], pictures: Sequence[Picture], places: Sequence[int]
    ) -> Drawn:
        """See Drawing."""
        features = rearrange(
            said, "(column row) (y x) -> (column y) (row x)", column=self.grid.columns, y=self.patch, x=self.patch
        )
        return Drawn(pictures=(show_logmel(features),), is_exact=False)


@dataclass(frozen=True, kw_only=True)
class Heat:
    """One number to a token, over the picture; the scale spans the numbers of the sample."""

    grid: Grid

    def __call__(self, said: Float[np.ndarray, "..."], pictures: Sequence[Picture], places: Sequence[int]) -> Drawn:
        """See Drawing."""
        numbers = said.reshape(-1)
        known = numbers[np.isfinite(numbers)]
        least, most = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        maps = self.grid.maps(numbers.astype(np.float64))
        return Drawn(
            pictures=tuple(_over(pictures[place], maps[place], low=least, high=most) for place in places),
            is_exact=False,
            ramp=Ramp(name="magma", low=wording.fact(least), high=wording.fact(most)),
        )


@dataclass(frozen=True, kw_only=True)
class Ids:
    """Ids of tokens in colours of their own, the same on every card."""

    grid: Grid

    def __call__(
        self, said: Integer[np.ndarray, " tokens"], pictures: Sequence[Picture], places: Sequence[int]
    ) -> Drawn:
        """See Drawing."""
        maps = self.grid.maps(said)
        _, identities = show_ids(said[None])
        return Drawn(
            pictures=tuple(stretched(show_ids(maps[place])[0], like=pictures[place]) for place in places),
            **_legend(identities, said.size),
        )


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A value, or three, for each pixel; as a stored raster is shown."""

    is_ids: bool

    def __call__(self, said: Shaped[np.ndarray, "..."], pictures: Sequence[Picture], places: Sequence[int]) -> Drawn:
        """See Drawing."""
        bands = said if said.ndim == 3 else said[:, :, None]
        bands = bands.transpose(1, 2, 0) if bands.shape[0] in (1, 3) else bands
        bands = nearest(bands, longest=LONGEST)
        if self.is_ids:
            colours, identities = show_ids(bands[:, :, 0])
            return Drawn(pictures=(colours,), **_legend(identities, bands[:, :, 0].size))
        if bands.shape[2] == 3:
            return Drawn(pictures=(show_composite(bands),), is_exact=False, words="three bands as red, green and blue")
        shown = show_band(bands[:, :, 0], field="")
        ramp = Ramp(name="viridis", low=wording.fact(shown.low), high=wording.fact(shown.high))
        return Drawn(pictures=(shown.pixels,), is_exact=False, ramp=ramp)


@dataclass(frozen=True, kw_only=True)
class InWords:
    """Shape and a few numbers, for what lies on no picture."""

    def __call__(self, said: Shaped[np.ndarray, "..."], pictures: Sequence[Picture], places: Sequence[int]) -> Drawn:
        """See Drawing."""
        values = said.reshape(-1)
        first = ", ".join(map(wording.fact, values[:_FEW].tolist()))
        more = ", …" if values.size > _FEW else ""
        if said.dtype.kind in "iu":
            return Drawn(words=f"{len(np.unique(values)):,} different ids: {first}{more}")
        known = values[np.isfinite(values)].astype(np.float64)
        if not known.size:
            return Drawn(words=f"no finite number: {first}{more}")
        told = {"mean": known.mean(), "deviation": known.std(), "least": known.min(), "largest": known.max()}
        spread = ", ".join(f"{name} {wording.fact(float(value))}" for name, value in told.items())
        holes = values.size - known.size
        return Drawn(words=f"{first}{more} · {spread}{f' · {holes:,} not finite' if holes else ''}")


def _legend(identities: Sequence[Identity], places: int) -> dict[str, Any]:
    """Return what a picture of ids says: how many there are, and the colours of the most frequent."""
    return {
        "words": f"{len(identities):,} different ids at {places:,} places",
        "identities": tuple(identities[:MAX_IDS]),
        "more_ids": max(0, len(identities) - MAX_IDS),
    }


def _over(picture: Picture, values: Float[np.ndarray, "rows columns"], *, low: float, high: float) -> Picture:
    """Return a map in colours over a picture in grey; where there is no number, the picture shows."""
    stretched_values = stretched(values, like=picture)
    grey = np.repeat(picture[:, :, :3].mean(axis=2, keepdims=True), 3, axis=2)
    opacity = np.where(np.isfinite(stretched_values), _MAP_OVER_PICTURE, 0.0)[:, :, None]
    colours = shade(stretched_values, MAGMA, low=low, high=high)
    return np.asarray((grey * (1 - opacity) + colours * opacity).round().astype(np.uint8))
