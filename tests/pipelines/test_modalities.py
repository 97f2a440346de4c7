import pytest

from pipelines.modalities import Image
from shards.errors import SettingsError


def test_a_picture_of_224_in_patches_of_16_has_196_tokens_of_768_values() -> None:
    image = Image(size=224, patch=16)
    assert (image.grid, image.num_tokens, image.patch_values) == ((14, 14), 196, 768)


@pytest.mark.parametrize(("size", "patch"), [(224, 15), (8, 16), (32, 0)])
def test_patches_that_do_not_tile_the_picture_are_refused(size: int, patch: int) -> None:
    with pytest.raises(SettingsError, match=f"{size} pixels cannot be cut into patches of {patch}"):
        Image(size=size, patch=patch)
