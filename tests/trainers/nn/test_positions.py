import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards.errors import SettingsError
from trainers.nn.positions import sincos_2d

GRIDS = st.tuples(st.integers(1, 8), st.integers(1, 8))


@given(GRIDS)
def test_first_half_of_the_channels_is_the_column_and_second_half_the_row(grid: tuple[int, int]) -> None:
    table = sincos_2d(grid, width=16).reshape(*grid, 16)
    assert torch.equal(table[:, :, :8], table[:1, :, :8].expand(*grid, 8))
    assert torch.equal(table[:, :, 8:], table[:, :1, 8:].expand(*grid, 8))


@given(GRIDS)
def test_no_two_places_share_a_position(grid: tuple[int, int]) -> None:
    table = sincos_2d(grid, width=16)
    assert len(table.unique(dim=0)) == grid[0] * grid[1]


def test_width_that_four_does_not_divide_is_refused() -> None:
    with pytest.raises(SettingsError, match="4 divides, not 30"):
        sincos_2d((2, 2), width=30)
