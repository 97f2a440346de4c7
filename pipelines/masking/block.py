"""Block-wise masking: blocks of neighbouring patches are hidden together, so that neighbours do not give them away."""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Bools, Int64s
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, nearest_share, require_share, require_within
from pipelines.modalities import Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError

Box = tuple[int, int, int]

MAX_FAILURES = 10
"""Attempts in a row without a block, after which a sample gets no more blocks."""

MAX_ATTEMPTS = 48
_DRAWS_PER_ATTEMPT = 6


@dataclass(frozen=True, kw_only=True)
class BlockPatches:
    """Hide blocks of patches until a share `ratio` is hidden (BEiT: Bao et al., arXiv:2106.08254, algorithm 1).

    On a grid of rows and columns blocks are rectangles with an area from `smallest` (a share of the hidden patches, rounded
    down) to what is still to be hidden, and an aspect ratio (height / width) log-uniform in `aspect`. On a clip they are
    such rectangles over 1 to all times, each number as likely, and areas are those per time ("cube" masking: Wei et al.,
    arXiv:2112.09133). Exactly round(patches * ratio) patches are hidden in every sample (the product of the
    decimal number as written; halves go to the even number), at least one and never all.

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
        require_within("smallest block", self.smallest, least=0.0, most=1.0)
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise SettingsError(f"Aspect ratios of {self.aspect} were asked for; give 0 < smallest <= largest.")

    def num_target(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` are hidden."""
        return between_one_and_all_but_one(nearest_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality has neither two nor three axes of tokens.
        """
        purpose = f"mask/{modality.name}"
        draws = context.draws.uniforms(MAX_ATTEMPTS * _DRAWS_PER_ATTEMPT, purpose=purpose)
        hidden = self._blocks(draws, box=_box_of(modality), count=self.num_target(modality.num_tokens))
        noise = context.draws.uniforms(modality.num_tokens, purpose=f"{purpose}/fill")
        num_real = context.num_real(modality)
        return ranked_plan(
            noise + hidden.reshape(noise.shape),
            num_real=num_real,
            num_hidden=counts_of(num_real, self.num_target, most=modality.num_tokens),
        )

    def _blocks(self, draws: Floats, *, box: Box, count: int) -> Bools:
        """Return masks [batch, times, rows, columns] of at most `count` hidden patches each, all samples in lockstep."""
        hidden = np.zeros((len(draws), *box), dtype=np.bool_)
        failures = np.zeros(len(draws), dtype=np.int64)
        for attempt in np.split(draws, MAX_ATTEMPTS, axis=1):
            missing = count - hidden.sum(axis=(1, 2, 3))
            active = np.flatnonzero((missing > 0) & (failures < MAX_FAILURES))
            if not active.size:
                break
            block = self._block(attempt[active], missing[active], box=box, count=count)
            added = (block & ~hidden[active]).sum(axis=(1, 2, 3))
            is_good = (added > 0) & (added <= missing[active])
            hidden[active[is_good]] |= block[is_good]
            failures[active] = np.where(is_good, 0, failures[active] + 1)
        return hidden

    def _block(self, draws: Floats, missing: Int64s, *, box: Box, count: int) -> Bools:
        """Return one block [batch, times, rows, columns] per sample; empty where the drawn one does not fit the grid."""
        extent_draw, area_draw, aspect_draw, front_draw, top_draw, left_draw = draws.T
        extent = np.floor(1 + extent_draw * box[0])
        smallest = max(1, math.floor(count / box[0] * self.smallest))
        area = smallest + area_draw * (missing / extent - smallest)
        least, most = math.log(self.aspect[0]), math.log(self.aspect[1])
        aspect = np.exp(least + aspect_draw * (most - least))
        height, width = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (height < box[1]) & (width < box[2])
        times = _runs(extent, front_draw, length=box[0]) & fits[:, None]
        rows, columns = _runs(height, top_draw, length=box[1]), _runs(width, left_draw, length=box[2])
        blocks: Bools = times[:, :, None, None] & rows[:, None, :, None] & columns[:, None, None, :]
        return blocks


def _box_of(modality: Modality) -> Box:
    """Return times, rows and columns; a grid of rows and columns has one time."""
    if len(modality.grid) not in (2, 3):
        raise SettingsError(
            f"Blocks need rows and columns of tokens, but '{modality.name}' has a grid of {modality.grid}; "
            "choose another masking for it."
        )
    *times, rows, columns = modality.grid
    return times[0] if times else 1, rows, columns


def _runs(sizes: Floats, draws: Floats, *, length: int) -> Bools:
    """Return, per sample, a randomly placed run of `sizes` cells in a line of `length`."""
    starts = np.floor(draws * (length - sizes + 1))
    cells = np.arange(length)
    runs: Bools = (cells >= starts[:, None]) & (cells < (starts + sizes)[:, None])
    return runs
