"""From pictures to tokens."""

from collections.abc import Sequence

import torch
from einops import repeat
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pipelines.modalities import Image
from pipelines.transforms.image import normalise
from pipelines.transforms.patches import patchify
from shards.errors import SettingsError


def image_patches(
    images: Shaped[Tensor, "batch channels side side"], *, patch: int
) -> Float[Tensor, "batch tokens values"]:
    """Return the patches of normalised pictures; the values of a patch run by row, column, channel (channel fastest).

    uint8 pixels are normalised first; floating point pictures are taken as normalised already.
    """
    normalised = images if images.is_floating_point() else normalise(images)
    return patchify(normalised, patch)


def every_token(batch: int, *, length: int, device: torch.device) -> Int[Tensor, "batch {length}"]:
    """Return the index of all tokens, in order, for each sample."""
    return repeat(torch.arange(length, device=device), "token -> batch token", batch=batch)


def only_modality(modalities: Sequence[Image], *, architecture: str) -> Image:
    """Return the one modality of a single-stream architecture; raises SettingsError if there are more or none."""
    if len(modalities) != 1:
        fields = ", ".join(modality.name for modality in modalities) or "none"
        raise SettingsError(f"{architecture} embeds exactly one modality; this recipe has {fields}")
    return modalities[0]
