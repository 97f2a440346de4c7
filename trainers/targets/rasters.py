"""What stands in a raster: measured numbers, standardised sample by sample, or the class of every pixel."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Raster
from pipelines.transforms.patches import patchify
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
