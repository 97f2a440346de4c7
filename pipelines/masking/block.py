"""Block-wise masking: rectangles of patches are hidden together, so that neighbours do not give them away."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from pipelines.masking.plan import MaskPlan
from pipelines.masking.random import between_one_and_all_but_one, require_share
from pipelines.modalities import Modality
from pipelines.randomness import Floats, keyed_uniforms
from shards.errors import SettingsError

Masks = npt.NDArray[np.bool_]

MAX_FAILURES = 10
"""Attempts in a row without a block, after which a sample gets no more blocks."""

MAX_ATTEMPTS = 48
_DRAWS_PER_ATTEMPT = 4


@dataclass(frozen=True, kw_only=True)
class BlockPatches:
    """Hide rectangles of patches until a share `ratio` is hidden (BEiT: Bao et al., arXiv:2106.08254, algorithm 1).

    Blocks have an area from `smallest` (a share of the hidden patches, rounded down) to what is still to be hidden, and
    an aspect ratio (height / width) log-uniform in `aspect`. Exactly round(patches * ratio) patches are hidden in every
    sample (the product of the decimal number as written; halves go to the even number), at least one and never all.

    Deviation from the published code, which stops when no further block fits and so hides fewer patches in some
    samples: the last few are then drawn one by one, so that all plans have one shape.

    Raises:
        SettingsError: A share is not between 0 and 1, or the range of aspect ratios is empty.
    """

    ratio: float
    smallest: float = 0.2
    aspect: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        require_share(self.ratio)
        if not 0 <= self.smallest <= 1:
            raise SettingsError(
                f"Blocks of at least {self.smallest} of the hidden patches were asked for; give 0 to 1."
            )
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise SettingsError(f"Aspect ratios of {self.aspect} were asked for; give 0 < smallest <= largest.")

    def num_target(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` are hidden."""
        return between_one_and_all_but_one(round(num_tokens * Fraction(str(self.ratio))), num_tokens)

    def plan(self, keys: Sequence[str], *, modality: Modality, seed: int, epoch: int) -> MaskPlan:
        """Return the plan of the samples `keys`, tokens ascending; every draw comes from `(seed, epoch, key)`."""
        count = self.num_target(modality.num_tokens)
        purpose = f"mask/{modality.field}"
        draws = keyed_uniforms(keys, MAX_ATTEMPTS * _DRAWS_PER_ATTEMPT, seed=seed, epoch=epoch, purpose=purpose)
        hidden = self._blocks(draws, grid=modality.grid, count=count).reshape(len(keys), modality.num_tokens)
        noise = keyed_uniforms(keys, modality.num_tokens, seed=seed, epoch=epoch, purpose=f"{purpose}/fill")
        order = np.argsort(noise - hidden, axis=1, kind="stable")
        return MaskPlan(
            visible=torch.from_numpy(np.sort(order[:, count:], axis=1)),
            target=torch.from_numpy(np.sort(order[:, :count], axis=1)),
        )

    def _blocks(self, draws: Floats, *, grid: tuple[int, int], count: int) -> Masks:
        """Return masks [batch, rows, columns] of at most `count` hidden patches each, all samples in lockstep."""
        hidden = np.zeros((len(draws), *grid), dtype=np.bool_)
        failures = np.zeros(len(draws), dtype=np.int64)
        for attempt in np.split(draws, MAX_ATTEMPTS, axis=1):
            missing = count - hidden.sum(axis=(1, 2))
            active = np.flatnonzero((missing > 0) & (failures < MAX_FAILURES))
            if not active.size:
                break
            block = self._block(attempt[active], missing[active], grid=grid, count=count)
            added = (block & ~hidden[active]).sum(axis=(1, 2))
            is_good = (added > 0) & (added <= missing[active])
            hidden[active[is_good]] |= block[is_good]
            failures[active] = np.where(is_good, 0, failures[active] + 1)
        return hidden

    def _block(self, draws: Floats, missing: npt.NDArray[np.int64], *, grid: tuple[int, int], count: int) -> Masks:
        """Return one rectangle [batch, rows, columns] per sample; empty where the drawn one does not fit the grid."""
        area_draw, aspect_draw, top_draw, left_draw = draws.T
        smallest = max(1, math.floor(count * self.smallest))
        area = smallest + area_draw * (missing - smallest)
        least, most = math.log(self.aspect[0]), math.log(self.aspect[1])
        aspect = np.exp(least + aspect_draw * (most - least))
        rows = _spans(np.rint(np.sqrt(area * aspect)), top_draw, length=grid[0])
        columns = _spans(np.rint(np.sqrt(area / aspect)), left_draw, length=grid[1])
        return rows[:, :, None] & columns[:, None, :]


def _spans(sizes: Floats, draws: Floats, *, length: int) -> Masks:
    """Return, per sample, a randomly placed run of `sizes` cells in a line of `length`; empty where it does not fit."""
    starts = np.floor(draws * (length - sizes + 1))
    cells = np.arange(length)
    inside = (cells >= starts[:, None]) & (cells < (starts + sizes)[:, None])
    return inside & (sizes < length)[:, None]
