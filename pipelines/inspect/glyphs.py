"""Gradient histograms as little drawings: in every cell a star of strokes, one along each direction of edge."""

import math

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from pipelines.transforms.hog import BINS, CELLS_PER_SIDE

GLYPH = 16
"""Side of the drawing of one cell, in pixels."""


def strokes(bins: int) -> Float[np.ndarray, "bins side side"]:
    """The stroke of each bin, from 0 to 1: a line through the centre along the edge whose gradient votes for the bin.

    A bin's angle is measured from the vertical gradient (see `pipelines.transforms.hog.hog_cells`), so bin 0 holds
    gradients that point down: horizontal edges. The stroke stands at right angles to the gradient.
    """
    places = np.arange(GLYPH) - (GLYPH - 1) / 2
    down, right = np.meshgrid(places, places, indexing="ij")
    angles = (np.arange(bins) + 0.5) * math.pi / bins
    # The gradient is (down, right) = (cos, sin); the distance from the edge through the centre is along it.
    distance = np.abs(down * np.cos(angles)[:, None, None] + right * np.sin(angles)[:, None, None])
    inside = np.hypot(down, right) < GLYPH / 2
    drawn: Float[np.ndarray, "bins side side"] = np.clip(1.2 - distance, 0, 1) * inside
    return drawn


def draw_histograms(
    histograms: Float[np.ndarray, "batch rows columns bins"],
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Draw every cell's histogram, values from 0 to 1, as bright strokes on black."""
    drawn = np.einsum("nrcb,byx->nrycx", histograms, strokes(histograms.shape[-1]))
    batch, rows, height, columns, width = drawn.shape
    grey = (np.clip(drawn, 0, 1) ** 0.7 * 255).astype(np.uint8).reshape(batch, rows * height, columns * width)
    return np.repeat(grey[..., None], 3, axis=-1)


def token_histograms(
    tokens: Float[Tensor, "batch tokens values"], *, grid: tuple[int, int]
) -> Float[np.ndarray, "batch rows columns bins"]:
    """Return the histograms of the cells of all patches in their places, the mean over colour channels.

    `tokens` are as `pipelines.transforms.hog` gives them, of any number of channels, on a grid of (rows, columns) of
    patches. What is below zero, as a prediction may be, counts as nothing.
    """
    rows, columns = grid
    cells = rearrange(
        tokens.float().clamp(min=0),
        "batch (row column) (channel bin y x) -> batch channel (row y) (column x) bin",
        row=rows,
        column=columns,
        bin=BINS,
        y=CELLS_PER_SIDE,
        x=CELLS_PER_SIDE,
    )
    return cells.mean(dim=1).cpu().numpy()
