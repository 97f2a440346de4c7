"""The order of sweeps and their places in it, by their names alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_DIGITS = re.compile(r"([0-9]+)")
_MOST_FRAMES = 10**9
"""No drive has as many sweeps: greater numbers are time stamps."""


def sweep_order(names: Sequence[str]) -> list[str]:
    """Return the names of one folder's sweeps in the order in which they were recorded.

    Runs of digits count as numbers, whatever their length (`9.bin` before `10.bin`), everything between them as text; so
    frame numbers and time stamps decide. Names that differ in leading zeros only are ordered as text.
    """
    return sorted(names, key=lambda name: (_parts(name), name))


def sweep_places(names: Sequence[str]) -> dict[str, int]:
    """Return the place of every sweep of one folder, in the order in which they were recorded.

    Names that are numbered one by one (`000000`, `000001`, `000003`) have their numbers as places, so that a hole stays one;
    the others, as time-stamped ones, are counted from 0.
    """
    ordered = sweep_order(names)
    numbers = _frame_numbers(ordered)
    return dict(zip(ordered, numbers or range(len(ordered)), strict=True))


def _frame_numbers(ordered: Sequence[str]) -> list[int]:
    """Return the frame numbers of names in their order; none unless one number varies, and somewhere by one."""
    rows = [[int(digits) for digits in _DIGITS.findall(name)] for name in ordered]
    varying = [column for column in zip(*rows, strict=False) if len(set(column)) > 1]
    if len(varying) != 1 or len({len(row) for row in rows}) > 1 or max(varying[0]) >= _MOST_FRAMES:
        return []
    steps = [later - earlier for earlier, later in pairwise(varying[0])]
    return list(varying[0]) if min(steps) == 1 else []


def _parts(name: str) -> list[tuple[int, str]]:
    """Split a name into (0, text) and (number, "") in turn; it always begins with a text, perhaps an empty one."""
    pieces = _DIGITS.split(name)
    return [(int(piece), "") if number % 2 else (0, piece) for number, piece in enumerate(pieces)]
