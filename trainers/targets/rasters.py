"""What stands in a raster: measured numbers, standardised sample by sample, or the class of every pixel."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Raster
from pipelines.transforms.patches import VARIANCE_FLOOR, patchify
from shards.errors import SettingsError
from trainers.nn.embed import raster_patches
from trainers.targets.computed import ComputedTarget


@dataclass(frozen=True, kw_only=True)
class RasterPatches(ComputedTarget):
    """Predict the numbers of a patch as `trainers.nn.embed.standardise_raster` makes them; NaN where nothing was measured."""

    modality: str
    name: str = "numbers"

    def dim(self, modality: Raster) -> int:
        """Return the number of values of a patch."""
        return modality.patch_values

    def build(self, modality: Raster) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def measured(batch: Batch) -> Tensor:
            return raster_patches(batch.inputs[modality.name], patch=modality.patch_side)

        return measured


@dataclass(frozen=True, kw_only=True)
class NormalisedRasterPatches(RasterPatches):
    """Predict the numbers of a patch, standardised by its own mean and spread, all channels together; NaN stays NaN."""

    def build(self, modality: Raster) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""
        measured = super().build(modality)
        return lambda batch: standardise_measured(measured(batch))


def standardise_measured(patches: Float[Tensor, "batch tokens values"]) -> Float[Tensor, "batch tokens values"]:
    """Return every patch with mean zero and unbiased variance one of what is known of it; NaN is not, and stays so.

    Where all is known it is what `trainers.targets.patches.standardise_patches` gives (the variance gets 1e-6 more).
    """
    known = ~patches.isnan()
    count = known.sum(dim=-1, keepdim=True)
    apart = patches - patches.nansum(dim=-1, keepdim=True) / count.clamp(min=1)
    variance = torch.where(known, apart, 0.0).square().sum(dim=-1, keepdim=True) / (count - 1).clamp(min=1)
    return apart / (variance + VARIANCE_FLOOR).sqrt()


@dataclass(frozen=True, kw_only=True)
class ClassMap(ComputedTarget):
    """Predict the class of every pixel of a patch; ids that are none of the classes of the modality do not count."""

    modality: str
    name: str = "classes"

    def dim(self, modality: Raster) -> int:
        """Return the number of scores of a token: one for each class at each pixel."""
        return modality.patch_values * modality.classes

    def build(self, modality: Raster) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to int64 ids [batch, tokens, pixels]; SettingsError if there are none."""
        if not modality.is_ids or modality.classes < 2:
            raise SettingsError(
                f"'{modality.name}' is to be predicted by class; it has to hold ids, and modalities.{modality.name}.classes "
                f"says how many there are (found {modality.classes})."
            )

        def classes(batch: Batch) -> Tensor:
            return patchify(batch.inputs[modality.name].long(), modality.patch_side)

        return classes
