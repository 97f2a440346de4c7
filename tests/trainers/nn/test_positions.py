import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.modalities import Clip, Image
from shards.errors import SettingsError
from trainers.nn.positions import SeparablePositions, position_table, positions_of, sincos_2d
from trainers.optimiser import is_decayed

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


def test_separable_positions_are_the_sum_of_one_of_the_time_and_one_of_the_place_in_it() -> None:
    positions = SeparablePositions(Clip(size=12, patch=4, frames=8), width=6)
    table = positions().reshape(4, 3, 3, 6)
    for time in range(4):
        for row in range(3):
            for column in range(3):
                expected = positions.time_positions[time] + positions.place_positions[3 * row + column]
                assert torch.equal(table[time, row, column], expected)


def test_separable_positions_are_learned_and_not_decayed() -> None:
    positions = SeparablePositions(Clip(size=64, patch=4, frames=32), width=32)
    assert set(positions.state_dict()) == {"time_positions", "place_positions"}
    for name, parameter in positions.named_parameters():
        assert not is_decayed(f"encoder.positions.{name}", parameter)
        assert 0.01 < parameter.std() < 0.03
        assert parameter.abs().max() < 2


def test_fixed_positions_are_neither_learned_nor_stored() -> None:
    clip = Clip(size=12, patch=4, frames=8)
    positions = positions_of(clip, width=6, kind="sincos")
    assert torch.equal(positions(), position_table(clip, width=6))
    assert not positions.state_dict()
    assert not list(positions.parameters())


def test_pictures_have_no_separable_positions() -> None:
    with pytest.raises(SettingsError, match=r"'image' is a Image, not a clip; give --set model.positions=sincos"):
        positions_of(Image(size=16, patch=4), width=8, kind="separable")
