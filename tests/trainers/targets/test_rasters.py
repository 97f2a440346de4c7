import torch

from pipelines.modalities import Raster
from tests.batches import make_batch
from trainers.targets.patches import standardise_patches
from trainers.targets.rasters import NormalisedRasterPatches, RasterPatches, standardise_measured


def test_what_is_known_of_a_patch_is_standardised_and_what_is_not_stays_unknown() -> None:
    patches = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0)) * 3 + 1
    torch.testing.assert_close(standardise_measured(patches), standardise_patches(patches))
    holes = patches.clone()
    holes[:, :, 20:] = torch.nan
    found = standardise_measured(holes)
    assert found[:, :, 20:].isnan().all()
    torch.testing.assert_close(found[:, :, :20], standardise_patches(patches[:, :, :20]))


def test_a_patch_of_which_nothing_or_one_value_is_known_has_no_spread() -> None:
    patches = torch.full((1, 2, 4), torch.nan)
    patches[0, 1, 2] = 5.0
    found = standardise_measured(patches)
    assert found[0, 0].isnan().all()
    assert found[0, 1, 2] == 0


def test_targets_are_the_standardised_raster_normalised_patch_by_patch() -> None:
    raster = Raster(field="radar", size=16, patch=8, channels=2)
    values = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = make_batch(("a",), {"radar": values})
    target = NormalisedRasterPatches(name="echoes", modality="radar")
    plain = RasterPatches(modality="radar").build(raster)(batch)
    torch.testing.assert_close(target.build(raster)(batch), standardise_patches(plain))
    assert target.dim(raster) == plain.shape[2] == 128
