"""What draws which target of which modality."""

from collections.abc import Mapping
from typing import Any

from pipelines.modalities import Clip, Image, LogMel, Points, Raster, Text, Tokens
from trainers.evaluate.drawing.captions import draw_guesses
from trainers.evaluate.drawing.clips import draw_clip, draw_clip_histograms, draw_first_frames
from trainers.evaluate.drawing.clouds import draw_cloud
from trainers.evaluate.drawing.histograms import draw_picture_histograms
from trainers.evaluate.drawing.ids import draw_ids
from trainers.evaluate.drawing.pictures import draw_picture
from trainers.evaluate.drawing.prediction import Drawer
from trainers.evaluate.drawing.rasters import draw_classes, draw_normalised_numbers, draw_numbers
from trainers.evaluate.drawing.sounds import draw_sound
from trainers.recipe import Target
from trainers.targets.first_frames import NormalisedFirstFrames
from trainers.targets.groups import GroupPoints
from trainers.targets.hog import HogTarget
from trainers.targets.patches import ColourNormalisedPatches, NormalisedPatches, PixelPatches
from trainers.targets.rasters import ClassMap, NormalisedRasterPatches, RasterPatches
from trainers.targets.texts import TextIds
from trainers.targets.tokens import ShownTokens

DRAWERS: Mapping[tuple[type, type], Drawer] = {
    (Image, NormalisedPatches): draw_picture,
    (Image, ColourNormalisedPatches): draw_picture,
    (Image, PixelPatches): draw_picture,
    (Image, HogTarget): draw_picture_histograms,
    (Clip, NormalisedPatches): draw_clip,
    (Clip, ColourNormalisedPatches): draw_clip,
    (Clip, PixelPatches): draw_clip,
    (Clip, NormalisedFirstFrames): draw_first_frames,
    (Clip, HogTarget): draw_clip_histograms,
    (LogMel, NormalisedPatches): draw_sound,
    (LogMel, PixelPatches): draw_sound,
    (Raster, RasterPatches): draw_numbers,
    (Raster, NormalisedRasterPatches): draw_normalised_numbers,
    (Raster, ClassMap): draw_classes,
    (Points, GroupPoints): draw_cloud,
    (Tokens, ShownTokens): draw_ids,
    (Text, TextIds): draw_guesses,
}
"""Drawers by the classes of modality and target."""


def drawer_of(target: Target, modality: Any) -> Drawer | str:  # noqa: ANN401 - any modality
    """Return what draws a target, or the reason why nothing does."""
    if target.places not in ("target", "all"):
        return f"it is predicted at the places '{target.places}', and only what was hidden is drawn"
    drawer = DRAWERS.get((type(modality), type(target)))
    if drawer is not None:
        return drawer
    if target.stored is not None:
        return "it is what a teacher said of the samples, which makes no picture"
    return f"nothing draws {type(target).__name__} of {type(modality).__name__}"
