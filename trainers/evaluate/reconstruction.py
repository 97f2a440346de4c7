"""Pictures of what a network imagines behind the mask: original, what it saw, what it predicts."""

from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int, Shaped, UInt8
from PIL import Image as Pillow
from torch import Tensor

from pipelines.batch import Batch
from pipelines.inspect.glyphs import draw_histograms, token_histograms
from pipelines.modalities import Image
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from pipelines.transforms.patches import mean_and_spread, unpatchify
from trainers.nn.embed import image_patches
from trainers.nn.network import Network
from trainers.recipe import Recipe, Target
from trainers.targets.hog import HogTarget
from trainers.targets.patches import NormalisedPatches, PixelPatches

GAP = 6
SMALLEST_TILE = 96
SAMPLES_PER_ROW = 2

DRAWN = (NormalisedPatches, PixelPatches, HogTarget)
"""Targets that can be drawn."""

PIXELS_NOTE = "Left to right: original, what the network saw, its prediction at the hidden patches."
PATCHES_NOTE = (
    f"{PIXELS_NOTE} It predicts patches with "
    "their mean and contrast removed; to make a picture, both were taken from the original patches."
)
HISTOGRAMS_NOTE = (
    "Left to right: original, what the network saw, the gradient histograms to predict, its prediction at the hidden "
    "patches. Each cell shows the directions of its edges, the brighter the stronger; patches it saw are dimmed."
)


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Tiles of one sample after the other, uint8 [samples, tiles, side, side, 3], and a note that explains them."""

    tiles: UInt8[np.ndarray, "samples tiles side side 3"]
    note: str


@torch.no_grad()
def reconstruct(network: Network, recipe: Recipe, batch: Batch) -> Reconstruction | str:
    """Predict the masked tokens of a batch and draw them; a reason instead, where nothing can be drawn.

    Inputs, plans and network are on the same device; the network is put into evaluation mode.
    """
    reason = reason_not_to_draw(recipe)
    if reason is not None:
        return reason
    network.eval()
    target = next(target for target in recipe.targets if _is_drawn(recipe, target))
    modality = recipe.modality(target.modality)
    predicted = network(batch.inputs, batch.plans)[target.name].float()
    if isinstance(target, HogTarget):
        wanted = HogTarget(source="computed", name=target.name, modality=target.modality).build(modality)(batch)
        return _histograms(predicted, wanted, modality, batch)
    if isinstance(target, NormalisedPatches):
        mean, spread = mean_and_spread(image_patches(batch.inputs[modality.name], patch=modality.patch))
        hidden = batch.plans[modality.name].target
        return _pixels(predicted * _rows(spread, hidden) + _rows(mean, hidden), modality, batch, note=PATCHES_NOTE)
    return _pixels(predicted, modality, batch, note=PIXELS_NOTE)


def reason_not_to_draw(recipe: Recipe) -> str | None:
    """Return why nothing can be drawn of what a recipe predicts, or None where something can."""
    if any(_is_drawn(recipe, target) for target in recipe.targets):
        return None
    others = [modality.name for modality in recipe.modalities if not isinstance(modality, Image)]
    if others:
        return f"only single pictures are drawn, and this recipe predicts of {', '.join(others)}"
    names = ", ".join(target.name for target in recipe.targets)
    return (
        f"what this recipe predicts ({names}) are neither pixels nor gradient histograms, and what a teacher says of "
        "the pictures shown here is not stored"
    )


def _is_drawn(recipe: Recipe, target: Target) -> TypeGuard[NormalisedPatches | PixelPatches | HogTarget]:
    return isinstance(target, DRAWN) and isinstance(recipe.modality(target.modality), Image)


def _pixels(
    predicted: Float[Tensor, "batch target values"], modality: Image, batch: Batch, *, note: str
) -> Reconstruction:
    images, plan = batch.inputs[modality.name], batch.plans[modality.name]
    patches = image_patches(images, patch=modality.patch)
    restored = place(patches, plan.target, predicted)
    tiles = [_picture(values, modality) for values in (patches, _seen(patches, plan.target), restored)]
    return Reconstruction(tiles=np.stack(tiles, axis=1), note=note)


def _histograms(
    predicted: Float[Tensor, "batch target values"],
    wanted: Float[Tensor, "batch tokens values"],
    modality: Image,
    batch: Batch,
) -> Reconstruction:
    images, plan = batch.inputs[modality.name], batch.plans[modality.name]
    patches = image_patches(images, patch=modality.patch)
    dimmed = place(wanted / 3, plan.target, _rows(wanted, plan.target))
    imagined = place(wanted / 3, plan.target, predicted)
    pictures = [_picture(values, modality) for values in (patches, _seen(patches, plan.target))]
    drawn = [draw_histograms(token_histograms(values, grid=modality.grid)) for values in (dimmed, imagined)]
    side = drawn[0].shape[1]
    tiles = [*(_resized(picture, side) for picture in pictures), *drawn]
    return Reconstruction(tiles=np.stack(tiles, axis=1), note=HISTOGRAMS_NOTE)


def place(
    tokens: Float[Tensor, "batch tokens values"],
    index: Int[Tensor, "batch target"],
    values: Float[Tensor, "batch target values"],
) -> Float[Tensor, "batch tokens values"]:
    """Return `tokens` with those at `index` replaced by `values`."""
    return tokens.scatter(1, repeat(index, "batch target -> batch target values", values=values.shape[-1]), values)


def _rows(
    tokens: Float[Tensor, "batch tokens values"], index: Int[Tensor, "batch target"]
) -> Float[Tensor, "batch target values"]:
    return tokens.gather(1, repeat(index, "batch target -> batch target values", values=tokens.shape[-1]))


def _seen(
    patches: Float[Tensor, "batch tokens values"], hidden: Int[Tensor, "batch target"]
) -> Float[Tensor, "batch tokens values"]:
    """The patches with the hidden ones grey."""
    return place(patches, hidden, torch.zeros_like(_rows(patches, hidden)))


def _picture(patches: Float[Tensor, "batch tokens values"], modality: Image) -> UInt8[np.ndarray, "batch side side 3"]:
    """Normalised patches as pixels again; what is outside the range is cut off."""
    images = unpatchify(patches, modality.patch, grid=modality.grid)
    mean, std = (rearrange(images.new_tensor(values), "c -> c 1 1") for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return rearrange(pixels, "batch channel row column -> batch row column channel").cpu().numpy()


def _resized(pictures: UInt8[np.ndarray, "batch side side 3"], side: int) -> UInt8[np.ndarray, "batch tile tile 3"]:
    return np.stack([np.asarray(Pillow.fromarray(picture).resize((side, side))) for picture in pictures])


def contact_sheet(tiles: Shaped[np.ndarray, "samples tiles side side 3"]) -> Pillow.Image:
    """Lay the tiles out in a grid on white, two samples in a row, each sample's tiles side by side.

    Tiles smaller than `SMALLEST_TILE` are enlarged by a whole factor, so that their pixels stay square.
    """
    factor = -(-SMALLEST_TILE // tiles.shape[2])
    tiles = tiles.repeat(factor, axis=2).repeat(factor, axis=3)
    samples, count, side = tiles.shape[:3]
    rows = -(-samples // SAMPLES_PER_ROW)
    block = count * side + (count - 1) * GAP
    width = SAMPLES_PER_ROW * block + (SAMPLES_PER_ROW - 1) * 4 * GAP
    sheet = Pillow.new("RGB", (width, rows * side + (rows - 1) * GAP), "white")
    for sample, row_of_tiles in enumerate(tiles):
        row, column = divmod(sample, SAMPLES_PER_ROW)
        for place_in_row, tile in enumerate(row_of_tiles):
            left = column * (block + 4 * GAP) + place_in_row * (side + GAP)
            sheet.paste(Pillow.fromarray(tile), (left, row * (side + GAP)))
    return sheet
