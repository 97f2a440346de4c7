"""What a modality holds, token by token, as an autoencoder has to give it back; and from there back to the input.

    modality            contents of a token                               given back as
    Image               its pixels, normalised as ImageNet is             uint8 [batch, 3, size, size]
    LogMel              its features, normalised as AudioSet is           float32 [batch, frames, bins]
    Raster of numbers   logarithms of its values, NaN where nothing was   float32 [batch, channels, size, size]
                        measured: where it is 0, negative or NaN
    Raster of ids       its class ids                                     int64 [batch, channels, size, size]
    Points              the points of its group, from its centre,         float32 [batch, groups, neighbours, 3]
                        the cloud in a sphere of radius 1
    Features            its values                                        float32 [batch, tokens, dim]

Logarithms make depth in metres and in millimetres the same but for an offset, which the stem learns.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq.groups import group_points
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD, normalise
from pipelines.transforms.patches import patchify, unpatchify

LOGMEL_MEAN, LOGMEL_STD = -4.2677393, 4.5689974
"""Mean and standard deviation of log-mel features over AudioSet (Huang et al., arXiv:2207.06405, official code)."""

Tokenised = Image | LogMel | Raster | Points | Features
"""Modalities that can be turned into ids."""


def contents(modality: Tokenised, inputs: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch tokens values"]:
    """Return what each token holds: float32, or int64 class ids; `inputs` are rows as a batch delivers them."""
    match modality:
        case Image():
            return patchify(inputs if inputs.is_floating_point() else normalise(inputs), modality.patch)
        case LogMel():
            return patchify((inputs[:, None] - LOGMEL_MEAN) / LOGMEL_STD, modality.patch)
        case Raster(is_ids=True):
            return patchify(inputs.long(), modality.patch_side)
        case Raster():
            return patchify(torch.where(inputs > 0, inputs, torch.nan).log(), modality.patch_side)
        case Points():
            return rearrange(group_points(inputs, modality).points, "batch group point xyz -> batch group (point xyz)")
        case Features():
            return inputs


def from_contents(modality: Tokenised, values: Float[Tensor, "batch tokens values"]) -> Shaped[Tensor, "batch ..."]:
    """Return what was predicted of each token in the unit of the input; see the table above.

    For class ids, `values` are the scores of all classes for every pixel, and the class with the best is given.
    """
    match modality:
        case Image():
            return _pixels(unpatchify(values, modality.patch, grid=modality.grid))
        case LogMel():
            features = unpatchify(values, modality.patch, grid=modality.grid)[:, 0]
            return features * LOGMEL_STD + LOGMEL_MEAN
        case Raster(is_ids=True):
            return unpatchify(
                best_classes(values, pixels=modality.patch_values), modality.patch_side, grid=modality.grid
            )
        case Raster():
            return unpatchify(values, modality.patch_side, grid=modality.grid).exp()
        case Points():
            return rearrange(values, "batch group (point xyz) -> batch group point xyz", xyz=3)
        case Features():
            return values


def num_values(modality: Tokenised) -> int:
    """Return how many values a token holds."""
    match modality:
        case Points():
            return 3 * modality.neighbours
        case Features():
            return modality.dim
        case LogMel() | Image() | Raster():
            return modality.patch_values


def best_classes(scores: Float[Tensor, "batch tokens scores"], *, pixels: int) -> Int[Tensor, "batch tokens {pixels}"]:
    """Return the class with the best score for each pixel of a token; scores run by pixel, then by class."""
    return rearrange(scores, "batch token (pixel kind) -> batch token pixel kind", pixel=pixels).argmax(dim=-1)


def _pixels(images: Float[Tensor, "batch channels side side"]) -> UInt8[Tensor, "batch channels side side"]:
    """Return normalised pictures as pixels; what is outside the range is cut off."""
    mean, std = (rearrange(images.new_tensor(values), "c -> c 1 1") for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
