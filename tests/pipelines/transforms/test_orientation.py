import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.transforms.orientation import cell_votes, orientation_bins, votes_by_bin, votes_by_index


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(("dtype", "bins"), [(torch.float32, range(1, 25)), (torch.float64, range(1, 61))])
def test_all_gradients_of_8_bit_pixels_are_in_the_bins_where_numpy_has_them(dtype: torch.dtype, bins: range) -> None:
    rise, run = np.meshgrid(np.arange(-255.0, 256), np.arange(-255.0, 256), indexing="ij")
    degrees = np.rad2deg(np.arctan2(rise, run)) % 180
    for count in bins:
        found = orientation_bins(torch.from_numpy(rise).to(dtype), torch.from_numpy(run).to(dtype), bins=count)
        wanted = np.searchsorted(180 / count * np.arange(1, count), degrees, side="right")
        assert np.array_equal(found.numpy(), wanted), count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_and_its_opposite_share_a_bin(dtype: torch.dtype) -> None:
    rise, run = normal(2, 10_000, dtype=dtype)
    assert torch.equal(orientation_bins(rise, run, bins=9), orientation_bins(-rise, -run, bins=9))


@pytest.mark.parametrize("run", [3.0, -3.0, 0.0, -0.0])
@pytest.mark.parametrize("rise", [0.0, -0.0])
def test_a_rise_of_zero_is_in_the_first_bin(rise: float, run: float) -> None:
    assert orientation_bins(torch.tensor([rise]), torch.tensor([run]), bins=9).tolist() == [0]


def test_the_least_fall_is_in_the_last_bin() -> None:
    falling = orientation_bins(torch.tensor([-1e-30, 1e-30]), torch.tensor([1.0, -1.0]), bins=9)
    assert falling.tolist() == [8, 8]


@pytest.mark.parametrize(("height", "width"), [(16, 24), (21, 30)])
def test_both_ways_of_counting_agree(height: int, width: int) -> None:
    rise, run = normal(2, 3, 2, height, width)
    by_index = votes_by_index(rise, run, cell=8, bins=9)
    assert by_index.shape == (3, 2, 9, height // 8, width // 8)
    torch.testing.assert_close(votes_by_bin(rise, run, cell=8, bins=9), by_index, atol=1e-5, rtol=1e-5)


def test_every_pixel_votes_once_with_its_magnitude() -> None:
    rise, run = normal(2, 3, 2, 16, 24, dtype=torch.float64)
    votes = cell_votes(torch.stack([rise, run], dim=2).flatten(1, 2), _given, cell=4, bins=9)
    assert votes.dtype == torch.float64
    torch.testing.assert_close(votes.sum(dim=(2, 3, 4)), torch.hypot(rise, run).sum(dim=(2, 3)))


def _given(images: Tensor) -> tuple[Tensor, Tensor]:
    return images[:, ::2], images[:, 1::2]
