"""Rasters: measured numbers on a scale of colours, classes each in a colour of its own. Of several channels, the first."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from pipelines.inspect.colours import VIRIDIS, id_colours, shade
from pipelines.modalities import Raster
from pipelines.tokenizers.vq.contents import best_classes
from pipelines.transforms.patches import VARIANCE_FLOOR, unpatchify
from trainers.evaluate.drawing.patches import (
    AS_PREDICTED,
    WITH_MEAN_AND_SPREAD,
    Patches,
    Pictures,
    Restoration,
    seen_and_imagined,
)
from trainers.evaluate.drawing.pictures import enlarged, tiles_note
from trainers.evaluate.drawing.prediction import Prediction, Tiles
from trainers.nn.embed import raster_patches

STRETCH = (0.02, 0.98)
"""The shares of the numbers of a sample between which its colours are spread."""

NUMBERS_NOTE = (
    "Each sample has a scale of its own, from dark (small) to bright (large); black is what was not measured."
)
CLASSES_NOTE = "Each class has a colour of its own."

Range = tuple[float, float]


def scaled(values: Float[Tensor, "height width"], span: Range) -> UInt8[np.ndarray, "height width 3"]:
    """Return numbers as colours that span a range; what is not finite is black."""
    band = values.numpy()
    colours = shade(np.nan_to_num(band), VIRIDIS, low=span[0], high=span[1])
    return np.where(np.isfinite(band)[..., None], colours, np.uint8(0))


def coloured(ids: Int[Tensor, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Return ids as colours."""
    return id_colours(ids.flatten().numpy()).reshape(*ids.shape, 3)


def span_of(values: Float[Tensor, "..."]) -> Range:
    """Return between which values nearly all lie that are finite; 0 to 1 if none is."""
    known = values[values.isfinite()].double()
    low, high = known.quantile(known.new_tensor(STRETCH)).tolist() if len(known) else (0.0, 1.0)
    return low, high


@dataclass(frozen=True)
class RasterCanvas:
    """What the canvases of rasters have in common."""

    raster: Raster

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        return enlarged(tokens, grid=self.raster.grid, side=self.raster.patch_side)

    def first_channel(self, tokens: Shaped[Tensor, "batch tokens values"]) -> Shaped[Tensor, "batch height width"]:
        """Return the first channel of patches that were put together."""
        return unpatchify(tokens, self.raster.patch_side, grid=self.raster.grid)[:, 0]


@dataclass(frozen=True)
class NumbersCanvas(RasterCanvas):
    """Numbers in any unit; `spans` says which range the colours of each sample span."""

    spans: tuple[Range, ...]

    def draw(self, tokens: Float[Tensor, "batch tokens values"]) -> Pictures:
        """See Canvas."""
        return np.stack([scaled(*drawn) for drawn in zip(self.first_channel(tokens), self.spans, strict=True)])


@dataclass(frozen=True)
class ClassesCanvas(RasterCanvas):
    """Class ids of pixels."""

    def draw(self, tokens: Int[Tensor, "batch tokens pixels"]) -> Pictures:
        """See Canvas."""
        return np.stack([coloured(sample) for sample in self.first_channel(tokens)])


def draw_numbers(prediction: Prediction) -> Tiles:
    """Draw numbers that are predicted as networks are shown them: standardised over the raster, which keeps its colours."""
    return _numbers(prediction, AS_PREDICTED)


def draw_normalised_numbers(prediction: Prediction) -> Tiles:
    """Draw numbers that are predicted without the mean and the spread of their patch."""
    return _numbers(prediction, WITH_WHAT_WAS_MEASURED)


def _numbers(prediction: Prediction, restoration: Restoration) -> Tiles:
    raster = prediction.modality
    original = raster_patches(prediction.inputs, patch=raster.patch_side)
    canvas = NumbersCanvas(raster, tuple(span_of(sample) for sample in RasterCanvas(raster).first_channel(original)))
    predicted = restoration.of(prediction.values, prediction.of_hidden(original))
    pictures = seen_and_imagined(prediction, canvas, original=original, predicted=predicted)
    return Tiles(pictures=pictures, note=tiles_note("beside", "patches", NUMBERS_NOTE, restoration.note))


def with_what_was_measured(values: Patches, original: Patches) -> Patches:
    """Return standardised patches with the mean and the spread of what is known of the original ones."""
    known = original.isfinite()
    count = known.sum(dim=-1, keepdim=True)
    mean = torch.where(known, original, 0.0).sum(dim=-1, keepdim=True) / count.clamp(min=1)
    squares = torch.where(known, original - mean, 0.0).square().sum(dim=-1, keepdim=True)
    return values * (squares / (count - 1).clamp(min=1) + VARIANCE_FLOOR).sqrt() + mean


WITH_WHAT_WAS_MEASURED = Restoration(of=with_what_was_measured, note=WITH_MEAN_AND_SPREAD.note)


def draw_classes(prediction: Prediction) -> Tiles:
    """Draw the classes that are thought the most probable."""
    wanted = prediction.wanted()
    classes = best_classes(prediction.values, pixels=wanted.shape[-1])
    canvas = ClassesCanvas(prediction.modality)
    pictures = seen_and_imagined(prediction, canvas, original=wanted, predicted=classes)
    return Tiles(pictures=pictures, note=tiles_note("beside", "patches", CLASSES_NOTE))
