"""The pixels of each patch: standardised by the mean and spread of that patch, or as the network is shown them."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Image
from trainers.nn.embed import image_patches
from trainers.recipe import Places

VARIANCE_FLOOR = 1e-6


def patch_statistics(
    patches: Float[Tensor, "batch tokens values"],
) -> tuple[Float[Tensor, "batch tokens 1"], Float[Tensor, "batch tokens 1"]]:
    """Return the mean of each patch, and the root of its unbiased variance plus 1e-6.

    A prediction of standardised patches becomes pixels again by `prediction * spread + mean`.
    """
    mean = patches.mean(dim=-1, keepdim=True)
    spread = (patches.var(dim=-1, keepdim=True, unbiased=True) + VARIANCE_FLOOR).sqrt()
    return mean, spread


def standardise_patches(patches: Float[Tensor, "batch tokens values"]) -> Float[Tensor, "batch tokens values"]:
    """Return every patch with mean zero and unbiased variance one (He et al., arXiv:2111.06377, section 3)."""
    mean, spread = patch_statistics(patches)
    return (patches - mean) / spread


@dataclass(frozen=True, kw_only=True)
class NormalisedPatches:
    """Predict the standardised pixels of a patch, in the order row, column, channel (channel fastest)."""

    name: str = "patches"
    modality: str = "image"

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset: the pixels are in the batch."""
        return None

    @property
    def places(self) -> Places:
        """At the hidden patches."""
        return "target"

    def stored_shape(self, modality: Image) -> tuple[int, int]:
        """Return patches, and values of one."""
        return modality.num_tokens, self.dim(modality)

    def dim(self, modality: Image) -> int:
        """Return the number of pixel values of a patch."""
        return modality.patch_values

    def build(self, modality: Image) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def standardised(batch: Batch) -> Tensor:
            return standardise_patches(image_patches(batch.inputs[modality.name], patch=modality.patch))

        return standardised


@dataclass(frozen=True, kw_only=True)
class PixelPatches:
    """Predict the pixels of a patch, in the order row, column, channel (channel fastest), as the network is shown them.

    That is, with the mean and the spread of the training set taken out, each channel by itself, but not those of the patch.
    """

    name: str = "pixels"
    modality: str = "image"

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset: the pixels are in the batch."""
        return None

    @property
    def places(self) -> Places:
        """At the hidden patches."""
        return "target"

    def stored_shape(self, modality: Image) -> tuple[int, int]:
        """Return patches, and values of one."""
        return modality.num_tokens, self.dim(modality)

    def dim(self, modality: Image) -> int:
        """Return the number of pixel values of a patch."""
        return modality.patch_values

    def build(self, modality: Image) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def shown(batch: Batch) -> Tensor:
            return image_patches(batch.inputs[modality.name], patch=modality.patch)

        return shown
