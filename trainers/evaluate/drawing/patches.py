"""Patches as pictures: the original, what the network saw of it, and that with its predictions put in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from pipelines.transforms.patches import mean_and_spread
from trainers.evaluate.drawing.prediction import Prediction
from trainers.targets.patches import SPREAD_FLOOR, ColourNormalisedPatches, NormalisedPatches, PixelPatches

BLANK = 128
"""The grey of what is not shown."""

Pictures = UInt8[np.ndarray, "batch height width 3"]
Patches = Float[Tensor, "batch tokens values"]


@runtime_checkable
class Painter(Protocol):
    """Turns the tokens of samples into pictures."""

    def draw(self, tokens: Shaped[Tensor, "batch tokens values"]) -> Pictures:
        """Return a picture of each sample."""
        ...


@runtime_checkable
class Canvas(Painter, Protocol):
    """Knows where in its pictures each token is."""

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """Return which pixels belong to the tokens for which it is true."""
        ...


def seen_and_imagined(
    prediction: Prediction,
    canvas: Canvas,
    *,
    original: Shaped[Tensor, "batch tokens values"],
    predicted: Shaped[Tensor, "batch hidden values"],
) -> UInt8[np.ndarray, "batch 3 height width 3"]:
    """Return the original, what the network saw, and the same with `predicted` at the target tokens.

    What was neither seen nor predicted stays blank.
    """
    whole = canvas.draw(original)
    imagined = canvas.draw(prediction.placed(original, predicted))
    unseen = canvas.cover(~prediction.seen)
    unknown = canvas.cover(~(prediction.seen | prediction.hidden))
    return np.stack([whole, blanked(whole, unseen), blanked(imagined, unknown)], axis=1)


def blanked(pictures: Pictures, where: Bool[np.ndarray, "batch height width"]) -> Pictures:
    """Return pictures that are grey where `where` is true."""
    return np.where(where[..., None], np.uint8(BLANK), pictures)


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """How a prediction becomes patches as networks are shown them: `of` is given both, the original for what was taken out."""

    of: Callable[[Patches, Patches], Patches]
    note: str = ""


def with_mean_and_spread(values: Patches, original: Patches) -> Patches:
    """Return standardised patches with the mean and the spread of the original ones; see `standardise_patches`."""
    mean, spread = mean_and_spread(original)
    return values * spread + mean


def with_colours(values: Patches, original: Patches) -> Patches:
    """Return patches standardised by colour with mean and spread of the original colours; see `standardise_colours`."""
    mean, std = (original.new_tensor(numbers) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = _by_colour(original) * std + mean
    spread = pixels.var(dim=2, keepdim=True, unbiased=True).sqrt() + SPREAD_FLOOR
    restored = _by_colour(values) * spread + pixels.mean(dim=2, keepdim=True)
    return rearrange((restored - mean) / std, "batch token pixel colour -> batch token (pixel colour)")


def as_predicted(values: Patches, original: Patches) -> Patches:
    """Return patches that are predicted as networks are shown them."""
    return values


def _by_colour(patches: Patches) -> Float[Tensor, "batch tokens pixels 3"]:
    return rearrange(patches, "batch token (pixel colour) -> batch token pixel colour", colour=3)


_TAKEN = "to make a picture, both were taken from the original patches."

WITH_MEAN_AND_SPREAD = Restoration(
    of=with_mean_and_spread, note=f"It predicts patches with their mean and contrast removed; {_TAKEN}"
)

AS_PREDICTED = Restoration(of=as_predicted)

RESTORATIONS: Mapping[Any, Restoration] = {
    NormalisedPatches: WITH_MEAN_AND_SPREAD,
    ColourNormalisedPatches: Restoration(
        of=with_colours, note=f"It predicts patches with the mean and contrast of each colour removed; {_TAKEN}"
    ),
    PixelPatches: AS_PREDICTED,
}
"""How predictions of targets that are patches become patches again, by the class of the target."""
