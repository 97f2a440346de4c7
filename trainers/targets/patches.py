"""The values of each patch: standardised by its own mean and spread, at once or by channel, or as the network sees them."""

from collections.abc import Callable
from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Clip, Image
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from pipelines.transforms.patches import mean_and_spread
from trainers.nn.embed import Gridded, patches_of
from trainers.targets.computed import ComputedTarget

SPREAD_FLOOR = 1e-6


def standardise_patches(patches: Float[Tensor, "batch tokens values"]) -> Float[Tensor, "batch tokens values"]:
    """Return every patch with mean zero and unbiased variance one (He et al., arXiv:2111.06377, section 3)."""
    mean, spread = mean_and_spread(patches)
    return (patches - mean) / spread


def standardise_colours(
    patches: Float[Tensor, "batch tokens values"],
) -> Float[Tensor, "batch tokens values"]:
    """Return every patch of normalised RGB pixels with mean zero and spread one of each colour by itself.

    Values run by pixel, then colour. The spread is the root of the unbiased variance, of pixels in [0, 1], plus 1e-6 (Tong
    et al., arXiv:2203.12602, official code). A colour that does not change within a patch becomes exactly zero.
    """
    mean, std = patches.new_tensor(IMAGENET_MEAN), patches.new_tensor(IMAGENET_STD)
    pixels = rearrange(patches, "batch token (pixel colour) -> batch token pixel colour", colour=3) * std + mean
    # Taken from the first pixel, equal values are zeros, whose mean is not rounded.
    apart = pixels - pixels[:, :, :1]
    spread = apart.var(dim=2, keepdim=True, unbiased=True).sqrt() + SPREAD_FLOOR
    standardised = (apart - apart.mean(dim=2, keepdim=True)) / spread
    return rearrange(standardised, "batch token pixel colour -> batch token (pixel colour)")


@dataclass(frozen=True, kw_only=True)
class NormalisedPatches(ComputedTarget):
    """Predict the standardised pixels of a patch, in the order row, column, channel (channel fastest)."""

    name: str = "patches"
    modality: str = "image"

    def dim(self, modality: Gridded) -> int:
        """Return the number of pixel values of a patch."""
        return modality.patch_values

    def build(self, modality: Gridded) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def standardised(batch: Batch) -> Tensor:
            return standardise_patches(patches_of(modality, batch.inputs[modality.name]))

        return standardised


@dataclass(frozen=True, kw_only=True)
class PixelPatches(ComputedTarget):
    """Predict the pixels of a patch, in the order row, column, channel (channel fastest), as the network is shown them.

    That is, with the mean and the spread of the training set taken out, each channel by itself, but not those of the patch.
    """

    name: str = "pixels"
    modality: str = "image"

    def dim(self, modality: Gridded) -> int:
        """Return the number of pixel values of a patch."""
        return modality.patch_values

    def build(self, modality: Gridded) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def shown(batch: Batch) -> Tensor:
            return patches_of(modality, batch.inputs[modality.name])

        return shown


@dataclass(frozen=True, kw_only=True)
class ColourNormalisedPatches(ComputedTarget):
    """Predict the pixels of a patch or tubelet with each colour standardised by itself, the colour running fastest."""

    name: str = "patches"
    modality: str = "video"

    def dim(self, modality: Clip | Image) -> int:
        """Return the number of pixel values of a patch."""
        return modality.patch_values

    def build(self, modality: Clip | Image) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def standardised(batch: Batch) -> Tensor:
            return standardise_colours(patches_of(modality, batch.inputs[modality.name]))

        return standardised
