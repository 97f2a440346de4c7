import pytest

from pipelines.modalities import Image, Raster
from shards.errors import SettingsError


def test_a_picture_of_224_in_patches_of_16_has_196_tokens_of_768_values() -> None:
    image = Image(size=224, patch=16)
    assert (image.grid, image.num_tokens, image.patch_values) == ((14, 14), 196, 768)


def test_a_raster_has_the_tokens_of_its_picture_with_its_own_channels() -> None:
    bands = Raster(size=224, patch=16, field="bands", channels=13)
    assert (bands.grid, bands.num_tokens, bands.patch_values) == ((14, 14), 196, 3328)


def test_modalities_say_which_kind_of_field_they_decode() -> None:
    modalities = [
        Image(size=8, patch=4),
        Raster(size=8, patch=4, field="depth"),
        Raster(size=8, patch=4, field="parts", is_ids=True),
    ]
    assert [modality.kind for modality in modalities] == ["image", "raster", "ids"]


@pytest.mark.parametrize(("size", "patch"), [(224, 15), (8, 16), (32, 0)])
def test_patches_that_do_not_tile_the_picture_are_refused(size: int, patch: int) -> None:
    with pytest.raises(SettingsError, match=f"'image' of {size} pixels cannot be cut into patches of {patch}"):
        Image(size=size, patch=patch)
    with pytest.raises(SettingsError, match=f"'depth' of {size} pixels cannot be cut into patches of {patch}"):
        Raster(size=size, patch=patch, field="depth")
