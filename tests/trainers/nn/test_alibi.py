"""Biases of attention that grow with distance."""

import math

import pytest
import torch
from torch import Tensor

from trainers.nn.alibi import LinearBiases, slopes_of

GRID = (3, 4)
EVERY = torch.arange(12)[None]


def whole(heads: int = 4) -> Tensor:
    return LinearBiases(GRID, heads=heads)(EVERY, EVERY)


def test_slopes_of_powers_of_two_are_those_of_the_paper() -> None:
    """Section 3 of arXiv:2108.12409: for 8 heads 1/2, 1/4, ... 1/256; for 16 heads a geometric sequence from 2 ** -0.5."""
    assert slopes_of(8) == [2.0**-number for number in range(1, 9)]
    assert slopes_of(16) == pytest.approx([2 ** (-number / 2) for number in range(1, 17)])


def test_slopes_of_other_numbers_take_every_second_one_of_the_power_above() -> None:
    assert slopes_of(3) == [2**-4, 2**-8, 2**-2]
    assert slopes_of(12) == pytest.approx([*slopes_of(8), *(2 ** (-number / 2) for number in (1, 3, 5, 7))])
    assert all(len(set(slopes_of(heads))) == heads for heads in range(1, 40))


def test_biases_are_symmetric_and_zero_from_a_place_to_itself_alone() -> None:
    biases = whole()
    assert torch.equal(biases, biases.transpose(2, 3))
    assert torch.equal(biases == 0, torch.eye(12, dtype=torch.bool).expand(1, 4, 12, 12))
    assert (biases <= 0).all()


def test_each_head_has_its_slope_times_the_distance_in_rows_and_columns() -> None:
    biases = whole(heads=8)
    here, there = 0 * 4 + 1, 2 * 4 + 3  # two rows and two columns apart
    for head, slope in enumerate(slopes_of(8)):
        assert biases[0, head, here, there].item() == pytest.approx(-slope * math.hypot(2, 2))


def test_after_masking_biases_are_those_of_the_original_places() -> None:
    asking, asked = torch.tensor([[7, 2], [0, 11]]), torch.tensor([[1, 11, 5], [3, 4, 0]])
    found = LinearBiases(GRID, heads=4)(asking, asked)
    assert found.shape == (2, 4, 2, 3)
    for sample in range(2):
        expected = whole()[0][:, asking[sample]][:, :, asked[sample]]
        assert torch.equal(found[sample], expected)


def test_nothing_of_it_is_learned_or_stored() -> None:
    biases = LinearBiases(GRID, heads=4)
    assert not list(biases.parameters())
    assert not biases.state_dict()
