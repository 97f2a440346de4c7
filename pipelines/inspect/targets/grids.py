"""Which target belongs to which place of a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipelines.modalities import LogMel
from shards.target_spec import TargetSpec

_WITHOUT_PLACES = frozenset({"class", "pooled", "registers", "text"})
"""Outputs of teachers that belong to no place of the picture, whatever their shape."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where tokens are: `times` maps of `rows` x `columns` tokens.

    Tokens run by time, row and column; those of sound by column, then by row from below.
    """

    times: int
    rows: int
    columns: int
    is_sound: bool = False

    def maps(self, tokens: Shaped[np.ndarray, "tokens ..."]) -> Shaped[np.ndarray, "times rows columns ..."]:
        """Return tokens in their places."""
        if self.is_sound:
            return tokens.reshape(1, self.columns, self.rows, *tokens.shape[1:]).swapaxes(1, 2)[:, ::-1]
        return tokens.reshape(self.times, self.rows, self.columns, *tokens.shape[1:])


def grid_of(spec: TargetSpec, *, side: int, times: int) -> Grid | None:
    """Return where the tokens of a target are in square pictures; None if they do not seem to be anywhere.

    The number of tokens has to be a square for each time. One number to a token may as well be one vector, so it has to be
    the square that follows from the teacher's patch.

    Args:
        spec: What the target is.
        side: Side of a view in pixels.
        times: Pictures that the teacher was shown of a sample.
    """
    if not spec.shape or times < 1 or spec.teacher_settings.get("output") in _WITHOUT_PLACES:
        return None
    at_each_time, left_over = divmod(spec.shape[0], times)
    rows, patch = isqrt(at_each_time), spec.teacher_settings.get("patch")
    if left_over or not rows or rows**2 != at_each_time:
        return None
    if isinstance(patch, int) and patch > 0:
        return Grid(times=times, rows=rows, columns=rows) if side // patch == rows else None
    has_one_number = len(spec.shape) == 1 and not spec.coding.holds_ids
    return None if has_one_number else Grid(times=times, rows=rows, columns=rows)


def sound_grid_of(spec: TargetSpec, sound: LogMel) -> Grid | None:
    """Return where the tokens of a target are in log-mel features; None if they are nowhere."""
    if not spec.shape or spec.shape[0] != sound.num_tokens:
        return None
    columns, rows = sound.grid
    return Grid(times=1, rows=rows, columns=columns, is_sound=True)


def is_map(spec: TargetSpec, *, side: int) -> bool:
    """Tell whether a target is a square map of the view, or three of them.

    Maps are [side, side] with perhaps an axis of 1 or 3 first or last. Without that axis, numbers have to be as many as pixels
    of the view, or of what the teacher makes of it: otherwise they may be vectors of tokens.
    """
    shape = spec.shape
    if len(shape) == 3:
        first_last = ((shape[0], *shape[1:]), (shape[2], *shape[:2]))
        return any(bands in (1, 3) and height == width for bands, height, width in first_last)
    is_square = len(shape) == 2 and shape[0] == shape[1]
    return is_square and (spec.coding.holds_ids or shape[0] in _map_sides(spec.teacher_settings, side))


def _map_sides(settings: Mapping[str, Any], side: int) -> tuple[Any, ...]:
    """Return the sides that a map can have whose teacher has these settings, of views of `side` pixels."""
    stride = settings.get("stride")
    return side, settings.get("input_size"), side // stride if isinstance(stride, int) and stride > 0 else side
