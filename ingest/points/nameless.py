"""Names for the columns of files that give none: plain arrays and texts of numbers."""

from __future__ import annotations

import numpy as np

from ingest.points.claims import corrupt
from ingest.points.cloud import COLOURS, COORDINATES, NORMALS, Column

_UNIT_TOLERANCE = 0.01


def guess_names(table: Column) -> list[str]:
    """Name the columns of an array (points, columns) by convention and by what is in them.

    The first three are x, y, z. After them, three columns of length 1 are normals, three whose values all lie in [0, 1], or
    are whole numbers in [0, 255], are colours, and the first column that is neither is the intensity. Any others are called
    `column6`, after their place, counted from 0.

    Raises:
        Rejection: There are fewer than three columns.
    """
    width = table.shape[1]
    if width < 3:
        raise corrupt(f"{width} columns; a point has x, y and z")
    names = list(COORDINATES)
    while len(names) < width:
        triple = table[:, len(names) : len(names) + 3]
        if triple.shape[1] == 3 and "nx" not in names and _are_normals(triple):
            names += NORMALS
        elif triple.shape[1] == 3 and "red" not in names and _are_colours(triple):
            names += COLOURS
        else:
            names.append(f"column{len(names)}" if "intensity" in names else "intensity")
    return names


def _are_normals(triple: Column) -> bool:
    lengths = np.sqrt((triple.astype(np.float64) ** 2).sum(axis=1))
    return bool((np.abs(lengths - 1) <= _UNIT_TOLERANCE).all())


def _are_colours(triple: Column) -> bool:
    if not ((triple >= 0) & (triple <= 255)).all():
        return False
    return bool((triple <= 1).all() or (triple == np.floor(triple)).all())
