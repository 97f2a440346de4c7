"""Clips: a few moments of each, from left to right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from pipelines.modalities import Clip, Image
from trainers.evaluate.drawing.histograms import Strokes, histogram_tiles, histograms_note
from trainers.evaluate.drawing.patches import RESTORATIONS, WITH_MEAN_AND_SPREAD, Patches, Pictures, seen_and_imagined
from trainers.evaluate.drawing.pictures import PictureCanvas, Resized, tiles_note
from trainers.evaluate.drawing.prediction import Prediction, Tiles
from trainers.evaluate.drawing.sheet import joined
from trainers.nn.embed import patches_of

MOMENTS = 4
"""Moments of a clip that are shown, spread evenly over its tubelets; of each tubelet, its first frame."""

FRAME_GAP = 2
MOMENTS_NOTE = "Each row shows a few moments of one clip."


@dataclass(frozen=True, kw_only=True)
class Film:
    """Tokens by time, row, column: those of some times are drawn on a canvas of one picture each, side by side.

    Args:
        frame: A painter, or a canvas where something is to be covered, of the tokens of one time.
        times: How many times there are.
    """

    frame: Any
    times: int

    def draw(self, tokens: Shaped[Tensor, "batch tokens values"]) -> Pictures:
        """See Canvas."""
        frames = self.frame.draw(rearrange(self._chosen(tokens), "batch time place value -> (batch time) place value"))
        return self._side_by_side(frames, len(tokens), filler=255)

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        chosen = rearrange(self._chosen(tokens[..., None]), "batch time place 1 -> (batch time) place")
        return self._side_by_side(self.frame.cover(chosen), len(tokens), filler=0)

    def _chosen(self, tokens: Shaped[Tensor, "batch tokens values"]) -> Shaped[Tensor, "batch moments places values"]:
        by_time = rearrange(tokens, "batch (time place) value -> batch time place value", time=self.times)
        return by_time[:, moments(self.times)]

    def _side_by_side(
        self, frames: Shaped[np.ndarray, "frames ..."], batch: int, *, filler: int
    ) -> Shaped[np.ndarray, "{batch} ..."]:
        by_time = rearrange(frames, "(batch time) ... -> time batch ...", batch=batch)
        return joined(list(by_time), axis=2, gap=FRAME_GAP, filler=filler)


def moments(times: int) -> Int[Tensor, " moments"]:
    """Return which of the times of a clip are shown, the first and the last one among them."""
    return torch.linspace(0, times - 1, min(times, MOMENTS)).round().long()


def draw_clip(prediction: Prediction) -> Tiles:
    """Draw tubelets that are predicted of a clip."""
    clip = prediction.modality
    tubelets, restoration = patches_of(clip, prediction.inputs), RESTORATIONS[type(prediction.target)]
    predicted = restoration.of(prediction.values, prediction.of_hidden(tubelets))
    return _frames(
        prediction,
        original=first_frames(tubelets, clip),
        predicted=first_frames(predicted, clip),
        note=restoration.note,
    )


def draw_first_frames(prediction: Prediction) -> Tiles:
    """Draw what is predicted of the first frame of each tubelet alone, standardised."""
    original = first_frames(patches_of(prediction.modality, prediction.inputs), prediction.modality)
    predicted = WITH_MEAN_AND_SPREAD.of(prediction.values, prediction.of_hidden(original))
    return _frames(prediction, original=original, predicted=predicted, note=WITH_MEAN_AND_SPREAD.note)


def _frames(
    prediction: Prediction,
    *,
    original: Patches,
    predicted: Float[Tensor, "batch hidden values"],
    note: str,
) -> Tiles:
    clip = prediction.modality
    film = Film(frame=PictureCanvas(one_frame(clip)), times=clip.grid[0])
    pictures = seen_and_imagined(prediction, film, original=original, predicted=predicted)
    return Tiles(pictures=pictures, stacked="below", note=tiles_note("below", "tubelets", MOMENTS_NOTE, note))


def draw_clip_histograms(prediction: Prediction) -> Tiles:
    """Draw gradient histograms that are predicted of the first frame of each tubelet."""
    clip = prediction.modality
    strokes = Strokes(clip.grid[1:])
    frame = Resized(painter=PictureCanvas(one_frame(clip)), side=strokes.side)
    pictures = histogram_tiles(
        prediction,
        shown=Film(frame=frame, times=clip.grid[0]),
        strokes=Film(frame=strokes, times=clip.grid[0]),
        original=first_frames(patches_of(clip, prediction.inputs), clip),
    )
    return Tiles(pictures=pictures, stacked="below", note=histograms_note("below", "tubelets", MOMENTS_NOTE))


def one_frame(clip: Clip) -> Image:
    """Return what one frame of a clip is as a picture."""
    return Image(size=clip.size, patch=clip.patch, name=clip.name)


def first_frames(tubelets: Patches, clip: Clip) -> Float[Tensor, "batch tokens frame_values"]:
    """Return the values of the first frame of each tubelet."""
    return tubelets[..., : clip.patch_values // clip.tubelet]
