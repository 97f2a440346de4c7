"""Histograms of gradients as strokes, beside the pictures that they were made of."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pipelines.inspect.glyphs import GLYPH, draw_histograms, token_histograms
from pipelines.transforms.hog import CELLS_PER_SIDE
from trainers.evaluate.drawing.patches import Canvas, Painter, Pictures, blanked
from trainers.evaluate.drawing.pictures import PictureCanvas, Resized, enlarged
from trainers.evaluate.drawing.prediction import ORDER, Prediction, Stacked, Tiles
from trainers.nn.embed import patches_of
from trainers.targets.hog import HogTarget

DIMMED = 3
"""Histograms of patches that the network saw are divided by this."""


def histograms_note(stacked: Stacked, units: str, *more: str) -> str:
    """Return what the tiles of `histogram_tiles` are; `units` is what tokens are called."""
    first = (
        f"{ORDER[stacked]}: original, what the network saw, the gradient histograms to predict, its prediction at the hidden "
        f"{units}. Each cell shows the directions of its edges, the brighter the stronger; {units} it saw are dimmed."
    )
    return " ".join((first, *more))


@dataclass(frozen=True)
class Strokes:
    """The histograms of a grid of patches, as `pipelines.transforms.hog` gives them; squares of `side` pixels."""

    grid: tuple[int, int]

    @property
    def side(self) -> int:
        """The larger side of a picture."""
        return max(self.grid) * CELLS_PER_SIDE * GLYPH

    def draw(self, tokens: Float[Tensor, "batch tokens values"]) -> Pictures:
        """See Canvas."""
        return draw_histograms(token_histograms(tokens, grid=self.grid))

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        return enlarged(tokens, grid=self.grid, side=CELLS_PER_SIDE * GLYPH)


def draw_picture_histograms(prediction: Prediction) -> Tiles:
    """Draw gradient histograms that are predicted of a picture."""
    image = prediction.modality
    strokes = Strokes(image.grid)
    shown = Resized(painter=PictureCanvas(image), side=strokes.side)
    original = patches_of(image, prediction.inputs)
    pictures = histogram_tiles(prediction, shown=shown, strokes=strokes, original=original)
    return Tiles(pictures=pictures, note=histograms_note("beside", "patches"))


def histogram_tiles(
    prediction: Prediction, *, shown: Painter, strokes: Canvas, original: Float[Tensor, "batch tokens values"]
) -> UInt8[np.ndarray, "batch 4 height width 3"]:
    """Return the original, what the network saw, the histograms to predict, and its prediction of them.

    Both paint pictures of one size. Histograms of tokens that were seen are dimmed, others are black.
    """
    target = HogTarget(source="computed", name=prediction.target.name, modality=prediction.target.modality)
    wanted = target.build(prediction.modality)(prediction.batch)
    dimmed = torch.where(prediction.seen[..., None], wanted / DIMMED, 0.0)
    whole = shown.draw(original)
    histograms = (prediction.placed(dimmed, values) for values in (prediction.of_hidden(wanted), prediction.values))
    seen = blanked(whole, strokes.cover(~prediction.seen))
    return np.stack([whole, seen, *map(strokes.draw, histograms)], axis=1)
