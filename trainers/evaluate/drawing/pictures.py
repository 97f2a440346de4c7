"""Single pictures."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Bool, Float, UInt8
from PIL import Image as Pillow
from torch import Tensor

from pipelines.modalities import Image
from pipelines.tokenizers.vq.contents import from_contents
from trainers.evaluate.drawing.patches import RESTORATIONS, Painter, Pictures, seen_and_imagined
from trainers.evaluate.drawing.prediction import ORDER, Prediction, Stacked, Tiles
from trainers.nn.embed import patches_of


def tiles_note(stacked: Stacked, units: str, *more: str) -> str:
    """Return what the three tiles of `seen_and_imagined` are; `units` is what tokens are called."""
    first = f"{ORDER[stacked]}: original, what the network saw, its prediction at the hidden {units}."
    return " ".join((first, *filter(None, more)))


def as_picture(image: UInt8[Tensor, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Return pixels, channels last."""
    return rearrange(image, "channel row column -> row column channel").numpy()


@dataclass(frozen=True)
class PictureCanvas:
    """Normalised patches of a picture; what is outside the range of pixels is cut off."""

    image: Image

    def draw(self, tokens: Float[Tensor, "batch tokens values"]) -> Pictures:
        """See Canvas."""
        pixels = from_contents(self.image, tokens)
        return rearrange(pixels, "batch channel row column -> batch row column channel").numpy()

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        return enlarged(tokens, grid=self.image.grid, side=self.image.patch)


def enlarged(
    tokens: Bool[Tensor, "batch tokens"], *, grid: tuple[int, int], side: int
) -> Bool[np.ndarray, "batch height width"]:
    """Return every token of a grid of rows and columns as a square."""
    return repeat(
        tokens, "batch (row column) -> batch (row y) (column x)", row=grid[0], column=grid[1], y=side, x=side
    ).numpy()


@dataclass(frozen=True, kw_only=True)
class Resized:
    """What another one paints, as squares of another side."""

    painter: Painter
    side: int

    def draw(self, tokens: Float[Tensor, "batch tokens values"]) -> Pictures:
        """See Painter."""
        size = (self.side, self.side)
        drawn = self.painter.draw(tokens)
        return np.stack([np.asarray(Pillow.fromarray(picture).resize(size)) for picture in drawn])


def draw_picture(prediction: Prediction) -> Tiles:
    """Draw patches that are predicted of a picture."""
    original, restoration = patches_of(prediction.modality, prediction.inputs), RESTORATIONS[type(prediction.target)]
    predicted = restoration.of(prediction.values, prediction.of_hidden(original))
    canvas = PictureCanvas(prediction.modality)
    pictures = seen_and_imagined(prediction, canvas, original=original, predicted=predicted)
    return Tiles(pictures=pictures, note=tiles_note("beside", "patches", restoration.note))
