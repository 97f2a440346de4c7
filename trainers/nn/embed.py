"""From pictures, clips and sound to the patches that are embedded."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pipelines.modalities import Clip, Image, LogMel, Modality
from pipelines.transforms.image import normalise
from pipelines.transforms.patches import VARIANCE_FLOOR, patchify
from shards.errors import SettingsError

AnyModality = TypeVar("AnyModality", bound=Modality)

Gridded = Image | Clip | LogMel
"""Modalities that are cut into patches of one size."""


def patches_of(modality: Gridded, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens values"]:
    """Return the normalised patches of what a batch holds of a modality, in the order of its tokens."""
    match modality:
        case Image():
            return image_patches(inputs, patch=modality.patch)
        case Clip():
            return clip_patches(inputs, modality)
        case LogMel():
            return spectrogram_patches(inputs, modality)


def raster_patches(
    inputs: Float[Tensor, "batch channels side side"], *, patch: int
) -> Float[Tensor, "batch tokens values"]:
    """Return the patches of standardised rasters; NaN is what nobody measured, and stays so."""
    return patchify(standardise_raster(inputs), patch)


def standardise_raster(values: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch channels side side"]:
    """Return every channel of a sample with mean zero and variance one, its smallest and largest tenth not counted.

    (Bachmann et al., arXiv:2204.01678, official code: of n values floor(n / 10) below and n - floor(9 n / 10) above, and an
    unbiased variance plus 1e-6.) Where these are all the same, the variance is that of all values. NaN is not
    counted and stays NaN.
    """
    flat = values.flatten(2).float()
    known = (~flat.isnan()).sum(dim=2, keepdim=True)
    ordered = flat.sort(dim=2).values  # NaN comes last
    place = torch.arange(flat.shape[2], device=flat.device)
    counted = (place >= known // 10) & (place < known * 9 // 10)
    count = counted.sum(dim=2, keepdim=True)
    kept = ordered.masked_fill(~counted, 0.0)
    mean = kept.sum(dim=2, keepdim=True) / count.clamp(min=1)
    apart = (kept - mean).masked_fill(~counted, 0.0)
    variance = apart.square().sum(dim=2, keepdim=True) / (count - 1).clamp(min=1)
    # Where nearly all values are the same, the others alone tell how large a difference is.
    whole = (flat - mean).square().nan_to_num(0.0).sum(dim=2, keepdim=True) / (known - 1).clamp(min=1)
    variance = torch.where(variance > 0, variance, whole)
    return ((flat - mean) / (variance + VARIANCE_FLOOR).sqrt()).reshape(values.shape)


def require_gridded(modality: Modality, *, architecture: str) -> Gridded:
    """Return a modality that is cut into patches; raises SettingsError if it is of another kind."""
    if not isinstance(modality, Gridded):
        raise SettingsError(
            f"{architecture} embeds patches of a picture, a clip or a spectrogram; '{modality.name}' is a "
            f"{type(modality).__name__}. Choose another recipe."
        )
    return modality


def image_patches(
    images: Shaped[Tensor, "batch channels side side"], *, patch: int
) -> Float[Tensor, "batch tokens values"]:
    """Return the patches of normalised pictures; the values of a patch run by row, column, channel (channel fastest).

    uint8 pixels are normalised first; floating point pictures are taken as normalised already.
    """
    normalised = images if images.is_floating_point() else normalise(images)
    return patchify(normalised, patch)


def clip_patches(
    clips: Shaped[Tensor, "batch channels frames side side"], clip: Clip
) -> Float[Tensor, "batch tokens values"]:
    """Return the tubelets of normalised clips; the values of one run by time, row, column, channel (channel fastest).

    uint8 pixels are normalised first; floating point clips are taken as normalised already.
    """
    frames = rearrange(clips, "batch channel frame row column -> (batch frame) channel row column")
    normalised = frames if frames.is_floating_point() else normalise(frames)
    return rearrange(
        normalised,
        "(batch time t) channel (row y) (column x) -> batch (time row column) (t y x channel)",
        time=clip.grid[0],
        t=clip.tubelet,
        y=clip.patch,
        x=clip.patch,
    )


def spectrogram_patches(
    features: Float[Tensor, "batch frames bins"], logmel: LogMel
) -> Float[Tensor, "batch tokens values"]:
    """Return the patches of log-mel features, without their mean and divided by their spread; bins run fastest."""
    return patchify((features[:, None] - logmel.mean) / logmel.spread, logmel.patch)


def every_token(batch: int, *, length: int, device: torch.device) -> Int[Tensor, "batch {length}"]:
    """Return the index of all tokens, in order, for each sample."""
    return repeat(torch.arange(length, device=device), "token -> batch token", batch=batch)


def only_modality(modalities: Sequence[AnyModality], *, architecture: str) -> AnyModality:
    """Return the one modality of a single-stream architecture; raises SettingsError if there are more or none."""
    if len(modalities) != 1:
        fields = ", ".join(modality.name for modality in modalities) or "none"
        raise SettingsError(f"{architecture} embeds exactly one modality; this recipe has {fields}")
    return modalities[0]
