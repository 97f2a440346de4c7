"""The order of sweeps, by their names alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIGITS = re.compile(r"([0-9]+)")


def sweep_order(names: Sequence[str]) -> list[str]:
    """Return the names of one folder's sweeps in the order in which they were recorded.

    Runs of digits count as numbers, whatever their length (`9.bin` before `10.bin`), everything between them as text; so
    frame numbers and time stamps decide. Names that differ in leading zeros only are ordered as text.
    """
    return sorted(names, key=lambda name: (_parts(name), name))


def _parts(name: str) -> list[tuple[int, str]]:
    """Split a name into (0, text) and (number, "") in turn; it always begins with a text, perhaps an empty one."""
    pieces = _DIGITS.split(name)
    return [(int(piece), "") if number % 2 else (0, piece) for number, piece in enumerate(pieces)]
