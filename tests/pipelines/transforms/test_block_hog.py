"""Agreement with `skimage.feature.hog`, which reckons in float64 from the differences of pixels on."""

from itertools import product
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, feature
from torch import Tensor

from pipelines.transforms.block_hog import BlockNorm, block_hog
from shards.errors import SettingsError

TOLERANCE = 1e-6
NORMS: tuple[BlockNorm, ...] = get_args(BlockNorm)
Picture = npt.NDArray[np.generic]


def reference(picture: Picture, *, bins: int = 9, cell: int = 8, block: int = 2, norm: str = "L2-Hys") -> Picture:
    channel_axis = -1 if picture.ndim == 3 else None
    found: Picture = feature.hog(
        picture, bins, (cell, cell), (block, block), norm, feature_vector=False, channel_axis=channel_axis
    )
    return found


def tensor(picture: Picture) -> Tensor:
    channels_first = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(channels_first))[None]


def assert_agrees(found: Tensor, wanted: Picture) -> None:
    assert found.dtype == torch.float32
    assert found.shape[1:] == wanted.shape
    assert np.abs(found[0].numpy() - wanted).max() <= TOLERANCE


def photographs() -> dict[str, npt.NDArray[np.uint8]]:
    opened = {name: getattr(data, name)() for name in ("astronaut", "camera", "page", "hubble_deep_field")}
    return {name: picture[:161, -153:] for name, picture in opened.items()}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("name", photographs())
def test_photographs_agree_in_every_dtype_and_norm(name: str, scale: type[np.generic], norm: BlockNorm) -> None:
    pixels = photographs()[name]
    picture: Picture = pixels if scale is np.uint8 else (pixels / 255).astype(scale)
    assert_agrees(block_hog(tensor(picture), norm=norm), reference(picture, norm=norm))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([None, 1, 2, 3, 4]),
    levels=st.sampled_from([1, 2, 4, 256]),
    sides=st.tuples(st.integers(12, 40), st.integers(12, 40)),
    bins=st.integers(1, 40),
    cell=st.integers(1, 6),
    block=st.integers(1, 2),
    norm=st.sampled_from(NORMS),
)
def test_random_pixels_agree_with_all_settings(
    seed: int,
    channels: int | None,
    levels: int,
    sides: tuple[int, int],
    bins: int,
    cell: int,
    block: int,
    norm: BlockNorm,
) -> None:
    shape = sides if channels is None else (*sides, channels)
    picture = np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint8)
    found = block_hog(tensor(picture), bins=bins, cell=cell, block=block, norm=norm)
    assert_agrees(found, reference(picture, bins=bins, cell=cell, block=block, norm=norm))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_random_numbers_agree(dtype: type[np.floating], channels: int) -> None:
    picture = np.random.default_rng(0).normal(size=(64, 80, channels)).astype(dtype)
    assert_agrees(block_hog(tensor(picture)), reference(picture))


def test_a_flat_picture_is_zero() -> None:
    flat = torch.full((1, 3, 32, 32), 0.12345)
    for norm in NORMS:
        assert torch.equal(block_hog(flat, norm=norm), torch.zeros(1, 3, 3, 2, 2, 9))


@pytest.mark.parametrize("name", photographs())
def test_the_negative_of_a_picture_has_the_same_histograms(name: str) -> None:
    pixels = tensor(photographs()[name])
    assert torch.equal(block_hog(255 - pixels), block_hog(pixels))


def test_a_shift_by_whole_cells_shifts_histograms_away_from_the_border() -> None:
    pixels = tensor(photographs()["astronaut"])
    whole, part = block_hog(pixels), block_hog(pixels[..., 8:])
    assert torch.equal(part[:, :, 1:], whole[:, :, 2:])
    assert not torch.equal(part[:, :, 0], whole[:, :, 1])


def test_histograms_repeat_and_do_not_depend_on_the_rest_of_the_batch() -> None:
    pixels = tensor(photographs()["astronaut"])
    batch = torch.cat([pixels, pixels.flip(-1)])
    assert torch.equal(block_hog(batch), block_hog(batch))
    assert torch.equal(block_hog(batch)[:1], block_hog(pixels))


def test_blocks_at_steps_of_a_block_hold_every_cell_once() -> None:
    pixels = tensor(photographs()["camera"])[..., :64, :48]
    with_blocks = block_hog(pixels, norm="L1")[:, ::2, ::2]
    assert with_blocks.shape == (1, 4, 3, 2, 2, 9)
    cells = block_hog(pixels, block=1, norm="L1")
    for row, column in product(range(2), range(2)):
        in_blocks, alone = with_blocks[:, :, :, row, column], cells[:, row::2, column::2, 0, 0]
        torch.testing.assert_close(in_blocks / in_blocks.sum(dim=-1, keepdim=True), alone, atol=1e-5, rtol=0)


def test_half_precision_is_reckoned_in_float32_also_under_autocast() -> None:
    pixels = tensor(photographs()["astronaut"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(block_hog(pixels.bfloat16()), block_hog(pixels.bfloat16().float()))


@pytest.mark.parametrize(("bins", "cell", "block"), [(0, 8, 2), (9, 0, 2), (9, 8, -1)])
def test_impossible_settings_are_refused(bins: int, cell: int, block: int) -> None:
    with pytest.raises(SettingsError, match="was asked for"):
        block_hog(torch.zeros(1, 1, 32, 32), bins=bins, cell=cell, block=block)


def test_a_picture_smaller_than_a_block_is_refused() -> None:
    with pytest.raises(SettingsError, match="15 x 32 pixels are smaller than a block of 2 x 2"):
        block_hog(torch.zeros(1, 1, 15, 32))
    assert block_hog(torch.zeros(1, 1, 16, 16)).shape == (1, 1, 1, 2, 2, 9)
