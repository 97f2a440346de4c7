"""Many tiles on one sheet."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from PIL import Image as Pillow

from trainers.evaluate.drawing.prediction import Tiles

GAP = 6
SAMPLE_GAP = 4 * GAP
SMALLEST_TILE = 96
SAMPLES_PER_ROW = 2
WIDEST = 1600
"""Where two samples side by side would be wider than this, in pixels, each has a row of its own."""


def contact_sheet(tiles: Tiles) -> Pillow.Image:
    """Lay the tiles out in a grid on white, each sample's tiles together.

    Tiles smaller than `SMALLEST_TILE` are enlarged by a whole factor, so that their pixels stay square.
    """
    factor = -(-SMALLEST_TILE // min(tiles.pictures.shape[2:4]))
    pictures = tiles.pictures.repeat(factor, axis=2).repeat(factor, axis=3)
    axis = 1 if tiles.stacked == "beside" else 0
    samples = [joined(list(sample), axis=axis, gap=GAP) for sample in pictures]
    fitting = (WIDEST + SAMPLE_GAP) // (samples[0].shape[1] + SAMPLE_GAP)
    per_row = max(1, min(SAMPLES_PER_ROW, fitting, len(samples)))
    samples += [np.full_like(samples[0], 255)] * (-len(samples) % per_row)
    rows = [
        joined(samples[start : start + per_row], axis=1, gap=SAMPLE_GAP) for start in range(0, len(samples), per_row)
    ]
    return Pillow.fromarray(joined(rows, axis=0, gap=GAP if axis else SAMPLE_GAP))


def joined(
    parts: Sequence[Shaped[np.ndarray, "..."]], *, axis: int, gap: int, filler: int = 255
) -> Shaped[np.ndarray, "..."]:
    """Return arrays side by side along an axis, with `gap` places of `filler` between them."""
    shape = list(parts[0].shape)
    shape[axis] = gap
    between = np.full(shape, filler, parts[0].dtype)
    return np.concatenate([piece for part in parts for piece in (between, part)][1:], axis=axis)
