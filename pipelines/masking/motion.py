"""Masking by motion: the parts of a clip that move most are hidden."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, each_once, ranked_plan, top_then_random
from pipelines.masking.shares import (
    between_one_and_all_but_one,
    floor_share,
    remaining_share,
    require_share,
    require_within,
)
from pipelines.modalities import Clip, Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class MotionPatches:
    """Hide the share `ratio` of the tokens of a clip; the share `moving` of these are the ones with the most motion.

    The motion of a token is the mean absolute difference of successive frames within it, the frame before and the frame
    after its own included; equal motion, as in a static clip, is ordered at random. The other hidden tokens are drawn at
    random. floor(tokens * (1 - ratio)) stay visible, at least one and never all, and floor(hidden * moving) are
    chosen by motion (the products of the decimal numbers as written).

    The idea is that of motion-guided masking (Huang et al., arXiv:2308.10794; Fan et al., arXiv:2308.12962), which
    take optical flow or motion vectors where this takes differences, and move one mask along.

    Raises:
        SettingsError: A share is not between 0 and 1.
    """

    ratio: float
    moving: float = 0.5

    def __post_init__(self) -> None:
        require_share(self.ratio)
        require_within("share of hidden tokens chosen by motion", self.moving, least=0.0, most=1.0)

    def num_visible(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` stay visible."""
        return between_one_and_all_but_one(remaining_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality is no clip, or the batch does not hold its frames.
        """
        if not isinstance(modality, Clip):
            raise SettingsError(f"'{modality.name}' is no clip, so nothing in it moves; choose another masking for it.")
        motion = motion_of(_frames_of(context, modality), modality)
        noise = context.draws.uniforms(modality.num_tokens, purpose=f"mask/{modality.name}")
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, lambda tokens: tokens - self.num_visible(tokens), most=modality.num_tokens)
        num_moving = each_once(num_hidden, lambda hidden: floor_share(hidden, self.moving))
        scores = top_then_random(motion, noise, num_real=num_real, num_top=num_moving)
        return ranked_plan(scores, num_real=num_real, num_hidden=num_hidden)


def _frames_of(context: MaskContext, clip: Clip) -> Frames:
    """Return the frames of the clips, uint8 [batch, 3, frames, size, size], checked."""
    found, shape = context.input_of(clip), (len(context.draws), 3, clip.frames, clip.size, clip.size)
    if found.shape != shape or found.dtype != np.uint8:
        raise SettingsError(
            f"The motion of '{clip.name}' is measured on uint8 of shape {shape}, but the batch holds {found.dtype} of "
            f"shape {found.shape}; mask clips as they were rendered."
        )
    return found.astype(np.uint8, copy=False)


def motion_of(frames: Frames, clip: Clip) -> Floats:
    """Return the motion of every token, float64 [batch, tokens] in grey levels, of frames [batch, 3, frames, size, size]."""
    times, rows, columns = clip.grid
    changes = np.zeros((len(frames), clip.frames + 1, rows * columns))
    for later in range(1, clip.frames):
        change = _mean_change(frames[:, :, later - 1], frames[:, :, later], clip)
        changes[:, later] = change.reshape(-1, rows * columns)
    starts = np.arange(times) * clip.tubelet
    around = changes[:, starts[:, None] + np.arange(clip.tubelet + 1)].sum(axis=2)
    known = np.minimum(starts + clip.tubelet, clip.frames - 1) - np.maximum(starts, 1) + 1
    motion: Floats = (around / np.maximum(known, 1)[:, None]).reshape(-1, clip.num_tokens)
    return motion


def _mean_change(before: Frames, after: Frames, clip: Clip) -> Floats:
    """Return the mean absolute difference of two frames [batch, 3, size, size] in every patch, [batch, rows, columns]."""
    difference = np.maximum(before, after) - np.minimum(before, after)
    _, rows, columns = clip.grid
    lines = difference.reshape(len(difference), 3, rows, clip.patch, clip.size)
    summed = lines.sum(axis=3, dtype=np.uint32).sum(axis=1).reshape(len(difference), rows, columns, clip.patch)
    mean: Floats = summed.sum(axis=3) / (3 * clip.patch**2)  # sums along whole lines are twice as fast as over patches
    return mean
