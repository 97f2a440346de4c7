"""Where the clips of a video begin and end, and which moments of a clip are stored. All of it is arithmetic."""

from __future__ import annotations

import math

_SLACK = 1e-6
"""Seconds by which a video may be shorter than a whole number of clips without losing the last one to rounding."""


def cut(seconds: float, *, clip_seconds: float | None, clip_stride: float | None) -> list[tuple[float, float]]:
    """Return the clips of a video as (start, end) in seconds from its beginning, in order.

    Clip k starts at k strides and is `clip_seconds` long. A clip that the end of the video cuts short is kept if at least half
    of it is left, or if it is the only one; then it ends where the video does.

    Args:
        seconds: Length of the video, above 0.
        clip_seconds: Length of a clip; None for one clip of the whole video.
        clip_stride: Seconds from the start of one clip to the next; None for clips end to end.
    """
    if clip_seconds is None:
        return [(0.0, seconds)]
    stride = clip_stride if clip_stride is not None else clip_seconds
    starts = [number * stride for number in range(max(1, math.ceil((seconds - _SLACK) / stride)))]
    clips = [(start, min(start + clip_seconds, seconds)) for start in starts]
    return [clip for clip in clips if clip[1] - clip[0] >= clip_seconds / 2 - _SLACK] or clips[:1]


def middles(start: float, end: float, parts: int) -> list[float]:
    """Return the middles of `parts` equal parts of a clip from `start` to `end`, in seconds."""
    length = (end - start) / parts
    return [start + (part + 0.5) * length for part in range(parts)]
