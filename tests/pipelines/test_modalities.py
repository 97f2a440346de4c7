import pytest

from pipelines.modalities import Clip, Decoded, Image, LogMel, Points, Raster, Text, Tokens, Waveform
from pipelines.tokenizers.byte import ByteTokenizer
from shards.errors import SettingsError

TEXT = Text(length=64, tokenizer=ByteTokenizer())


def test_a_picture_of_224_in_patches_of_16_has_196_tokens_of_768_values() -> None:
    image = Image(size=224, patch=16)
    assert (image.grid, image.num_tokens, image.patch_values) == ((14, 14), 196, 768)


def test_a_raster_has_the_tokens_of_its_picture_with_its_own_channels() -> None:
    bands = Raster(size=224, patch=16, field="bands", channels=13)
    assert (bands.grid, bands.num_tokens, bands.patch_values) == ((14, 14), 196, 3328)


@pytest.mark.parametrize(
    ("modality", "kinds", "grid"),
    [
        (Image(size=8, patch=4), ("image",), (2, 2)),
        (Raster(size=8, patch=4, field="depth"), ("raster",), (2, 2)),
        (Raster(size=8, patch=4, field="parts", is_ids=True), ("ids",), (2, 2)),
        (Clip(size=224, patch=16), ("frames", "clip"), (8, 14, 14)),
        (LogMel(), ("logmel",), (64, 8)),
        (Waveform(samples=16_000, patch=400), ("audio",), (40,)),
        (Points(), ("points",), (64,)),
        (TEXT, ("text",), (64,)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_modalities_say_which_kind_of_field_they_decode_and_how_many_tokens_come_of_it(
    modality: Decoded, kinds: tuple[str, ...], grid: tuple[int, ...]
) -> None:
    assert modality.kinds == kinds
    assert modality.grid == grid
    assert modality.name == modality.field


def test_values_of_a_patch_are_counted_over_time_and_channels() -> None:
    assert Clip(size=224, patch=16).patch_values == 2 * 16 * 16 * 3
    assert LogMel().patch_values == 256


def test_two_looks_at_one_field_have_names_of_their_own() -> None:
    second = Image(size=8, patch=4, name="second", look=1)
    assert (second.field, second.name, second.look) == ("image", "second", 1)
    tokens = Tokens(stored="vq", grid=(14, 14), vocabulary=8192)
    assert (tokens.name, tokens.num_tokens) == ("vq", 196)


@pytest.mark.parametrize(("size", "patch"), [(224, 15), (8, 16), (32, 0)])
def test_patches_that_do_not_tile_the_picture_are_refused(size: int, patch: int) -> None:
    with pytest.raises(SettingsError, match=f"'image' of {size} pixels cannot be cut into patches of {patch}"):
        Image(size=size, patch=patch)
    with pytest.raises(SettingsError, match=f"'depth' of {size} pixels cannot be cut into patches of {patch}"):
        Raster(size=size, patch=patch, field="depth")


def test_other_modalities_that_their_tokens_do_not_tile_are_refused() -> None:
    with pytest.raises(SettingsError, match="'video' of 15 frames cannot be cut into patches of 2 frames"):
        Clip(size=16, patch=4, frames=15)
    with pytest.raises(SettingsError, match="'logmel' of 100 bins cannot be cut into patches of 16 bins"):
        LogMel(bins=100)
    with pytest.raises(SettingsError, match="'audio' of 100 samples"):
        Waveform(samples=100, patch=7)
    with pytest.raises(SettingsError, match="cloud 'points' of 32 points with 3 columns cannot be put into 64 groups"):
        Points(count=32)
    with pytest.raises(SettingsError, match="room for 0 tokens"):
        Text(length=0, tokenizer=ByteTokenizer())
    with pytest.raises(SettingsError, match="every side has to be at least 1"):
        Tokens(stored="vq", grid=(), vocabulary=8)
