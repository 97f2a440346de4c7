"""Where a view looks: policies that draw the crop box of a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.randomness import generator_for
from pipelines.views.view import View
from shards.errors import SettingsError

CROP_ATTEMPTS = 10

OFFSETS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    *((2, 0), (2, 4), (4, 2), (0, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)
"""Where a crop of `MultiScaleCrop` may lie: down and across, in quarters of the room that the box leaves."""


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """Crop a random share of the area at a random aspect ratio, resize to a square, mirror now and then.

    As torchvision's transform of that name (Szegedy et al., arXiv:1409.4842): ten attempts at an area uniform in
    `scale` and an aspect ratio (width / height) log-uniform in `ratio`, then the largest centred crop whose aspect
    ratio is allowed. All draws come from `(seed, key, k)`.

    Raises:
        SettingsError: A range is empty or not positive, or the probability is not one.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip_probability: float

    def __post_init__(self) -> None:
        _require_size(self.size)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise SettingsError(f"Crops of {self.scale} of the area were asked for; give 0 < smallest <= largest <= 1.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise SettingsError(f"Aspect ratios of {self.ratio} were asked for; give 0 < smallest <= largest.")
        _require_probability(self.flip_probability)

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of a sample; see ViewPolicy."""
        draws = generator_for(seed=seed, epoch=k, key=key, purpose="view").random(3 + 2 * CROP_ATTEMPTS).tolist()
        flip_draw, top_draw, left_draw, *shape_draws = draws
        fitting = self._first_fitting(shape_draws, height=height, width=width)
        box_height, box_width = fitting or self._largest_allowed(height=height, width=width)
        spare_height, spare_width = height - box_height, width - box_width
        return View(
            top=int(top_draw * (spare_height + 1)) if fitting else spare_height // 2,
            left=int(left_draw * (spare_width + 1)) if fitting else spare_width // 2,
            height=box_height,
            width=box_width,
            flip=flip_draw < self.flip_probability,
            size=self.size,
        )

    def _first_fitting(self, draws: Sequence[float], *, height: int, width: int) -> tuple[int, int] | None:
        """Return height and width of the first drawn box that fits into the picture, if any does."""
        least, most = math.log(self.ratio[0]), math.log(self.ratio[1])
        for area_draw, ratio_draw in zip(draws[::2], draws[1::2], strict=True):
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * area_draw)
            aspect = math.exp(least + (most - least) * ratio_draw)
            box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < box_height <= height and 0 < box_width <= width:
                return box_height, box_width
        return None

    def _largest_allowed(self, *, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the largest box whose aspect ratio is allowed."""
        if width < height * self.ratio[0]:
            return max(1, round(width / self.ratio[0])), width
        if width > height * self.ratio[1]:
            return height, max(1, round(height * self.ratio[1]))
        return height, width


@dataclass(frozen=True, kw_only=True)
class CenterCrop:
    """The largest centred square, resized: the short side becomes `size` and the long side loses both ends equally."""

    size: int

    def __post_init__(self) -> None:
        _require_size(self.size)

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return the one view of a sample, whatever `k` and `seed`; see ViewPolicy."""
        side = min(height, width)
        return View(
            top=(height - side) // 2, left=(width - side) // 2, height=side, width=side, flip=False, size=self.size
        )


@dataclass(frozen=True, kw_only=True)
class MultiScaleCrop:
    """Crop a box whose sides are the short side of the picture times one of `scales` each, resize to a square.

    Height and width may be scales at most `max_distort` places apart in `scales`; all such pairs are equally likely. The
    box lies at one of 13 places: the corners, the middles of the edges, the centre, and half-way from it to the corners.
    (Wang et al., Temporal Segment Networks, arXiv:1608.00859, section 3.2; Tong et al., arXiv:2203.12602, official code,
    which also takes a side within 3 pixels of `size` for `size`; that is left out.)

    Raises:
        SettingsError: There is no scale, one is not in (0, 1], or the probability is not one.
    """

    size: int
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    flip_probability: float = 0.0

    def __post_init__(self) -> None:
        _require_size(self.size)
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales) or self.max_distort < 0:
            raise SettingsError(
                f"Crops of {self.scales} of the short side, {self.max_distort} places apart, were asked for; give scales "
                "above 0 up to 1, and 0 places or more."
            )
        _require_probability(self.flip_probability)

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of a sample; see ViewPolicy."""
        draws = generator_for(seed=seed, epoch=k, key=key, purpose="view").random(3).tolist()
        pairs = self._pairs
        of_height, of_width = pairs[int(draws[0] * len(pairs))]
        down, across = OFFSETS[int(draws[1] * len(OFFSETS))]
        side = min(height, width)
        box_height, box_width = max(1, int(side * of_height)), max(1, int(side * of_width))
        return View(
            top=(height - box_height) // 4 * down,
            left=(width - box_width) // 4 * across,
            height=box_height,
            width=box_width,
            flip=draws[2] < self.flip_probability,
            size=self.size,
        )

    @property
    def _pairs(self) -> list[tuple[float, float]]:
        """The scales of height and width that may come together."""
        return [
            (of_height, of_width)
            for row, of_height in enumerate(self.scales)
            for column, of_width in enumerate(self.scales)
            if abs(row - column) <= self.max_distort
        ]


def _require_size(size: int) -> None:
    """Raise SettingsError unless a view can have this side, in pixels."""
    if size < 1:
        raise SettingsError(f"Views of {size} pixels were asked for; the side has to be at least 1.")


def _require_probability(probability: float) -> None:
    if not 0 <= probability <= 1:
        raise SettingsError(f"A flip probability of {probability} was asked for; give 0 to 1.")
