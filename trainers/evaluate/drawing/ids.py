"""Ids of stored tokens: one square for each token, each id in a colour of its own."""

from dataclasses import dataclass
from math import isqrt, prod

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Int
from torch import Tensor

from trainers.evaluate.drawing.patches import Pictures, seen_and_imagined
from trainers.evaluate.drawing.pictures import enlarged, tiles_note
from trainers.evaluate.drawing.prediction import Prediction, Tiles
from trainers.evaluate.drawing.rasters import coloured

SIDE = 8
"""Side of the square of a token, in pixels."""
NOTE = (
    "Each square is a token, each id has a colour of its own; colours of other ids say nothing about how near they are."
)


def plane(grid: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns in which the tokens of a grid are shown; as square as can be where there are none."""
    if len(grid) > 1:
        return grid[0], prod(grid[1:])
    rows = next(rows for rows in range(isqrt(grid[0]), 0, -1) if grid[0] % rows == 0)
    return rows, grid[0] // rows


@dataclass(frozen=True)
class IdCanvas:
    """Ids on a grid of rows and columns."""

    grid: tuple[int, int]

    def draw(self, tokens: Int[Tensor, "batch tokens 1"]) -> Pictures:
        """See Canvas."""
        placed = rearrange(tokens, "batch (row column) 1 -> batch row column", row=self.grid[0])
        return np.stack([coloured(sample) for sample in placed]).repeat(SIDE, axis=1).repeat(SIDE, axis=2)

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        return enlarged(tokens, grid=self.grid, side=SIDE)


def draw_ids(prediction: Prediction) -> Tiles:
    """Draw the ids that are thought the most probable."""
    canvas = IdCanvas(plane(prediction.modality.grid))
    best = prediction.values.argmax(dim=-1, keepdim=True)
    pictures = seen_and_imagined(prediction, canvas, original=prediction.wanted(), predicted=best)
    return Tiles(pictures=pictures, note=tiles_note("beside", "tokens", NOTE))
