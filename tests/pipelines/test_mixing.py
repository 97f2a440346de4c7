import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.mixing import UNIT, Weight, quotas, require_weight_at_all_steps, shares
from shards.errors import SettingsError

some_weights = st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=1, max_size=8).filter(
    lambda values: sum(values) > 0
)


def constant(*values: float) -> list[Weight]:
    return [Weight.constant(float(value)) for value in values]


def drawn(weights: list[Weight], batch: int, steps: int) -> np.ndarray:
    """The samples taken of each dataset, [steps, datasets]."""
    debts, rows = (0,) * len(weights), []
    for step in range(steps):
        taken, debts = quotas(shares(tuple(weights), step), debts, batch)
        rows.append(taken)
    return np.array(rows)


@given(some_weights, st.integers(0, 10**9))
def test_shares_add_up_to_one_sample_and_follow_the_weights(values: list[float], step: int) -> None:
    found = shares(tuple(constant(*values)), step)
    assert sum(found) == UNIT
    for share, value in zip(found, values, strict=True):
        assert abs(share / UNIT - value / sum(values)) < 2 / UNIT * len(values)
        assert share > 0 or value / sum(values) < 1 / UNIT


@given(some_weights, st.integers(1, 300), st.integers(1, 40))
def test_every_batch_is_full_and_no_dataset_is_ever_a_sample_behind_or_ahead(
    values: list[float], batch: int, steps: int
) -> None:
    taken = drawn(constant(*values), batch, steps)
    assert (taken >= 0).all()
    assert (taken.sum(axis=1) == batch).all()
    wanted = np.outer(np.arange(1, steps + 1) * batch, np.array(values) / sum(values))
    assert np.abs(taken.cumsum(axis=0) - wanted).max() < len(values)


def test_five_datasets_get_what_their_weights_say_over_a_thousand_batches() -> None:
    taken = drawn(constant(100, 10, 5, 2, 1), 256, 1000).sum(axis=0)
    assert np.abs(taken - 256_000 * np.array([100, 10, 5, 2, 1]) / 118).max() <= 1


def test_quotas_are_golden() -> None:
    assert drawn(constant(3, 2, 1), 4, 6).tolist() == [
        [2, 1, 1],
        [2, 2, 0],
        [2, 1, 1],
        [2, 1, 1],
        [2, 2, 0],
        [2, 1, 1],
    ]


def test_a_weight_changes_at_the_step_that_says_so() -> None:
    weights = [Weight.constant(1.0), Weight(knots=((9, 1.0), (10, 3.0)))]
    taken = drawn(weights, 40, 20)
    assert taken[:10].tolist() == [[20, 20]] * 10
    assert taken[10:].tolist() == [[10, 30]] * 10


def test_a_weight_rises_along_a_straight_line() -> None:
    weight = Weight(knots=((10, 0.0), (20, 5.0)))
    assert [float(weight.at(step)) for step in (0, 10, 13, 20, 99)] == [0, 0, 1.5, 5, 5]


def test_a_dataset_of_weight_zero_gets_nothing_whatever_it_is_owed() -> None:
    weights = [Weight.constant(1.0), Weight(knots=((4, 0.3), (5, 0.0)))]
    taken = drawn(weights, 7, 12)
    assert taken[:5, 1].sum() > 0
    assert taken[5:, 1].tolist() == [0] * 7


@pytest.mark.parametrize(
    "knots", [(), ((-1, 1.0),), ((5, 1.0), (5, 2.0)), ((5, 1.0), (4, 2.0)), ((0, -1.0),), ((0, math.nan),)]
)
def test_weights_that_make_no_sense_are_refused(knots: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(SettingsError, match="rising steps"):
        Weight(knots=knots)


def test_a_mixture_whose_weights_reach_zero_together_is_refused_before_it_begins() -> None:
    falling = [Weight(knots=((0, 1.0), (90, 0.0))), Weight(knots=((0, 2.0), (50, 0.0)))]
    with pytest.raises(SettingsError, match="At step 90 all weights"):
        require_weight_at_all_steps(tuple(falling))
    require_weight_at_all_steps((*falling, Weight.constant(0.1)))


def test_weights_that_differ_in_the_last_digit_are_described_apart() -> None:
    assert Weight.constant(1234567.0).describe() != Weight.constant(1234568.4).describe()


def test_weights_that_are_all_zero_are_refused_with_the_step() -> None:
    with pytest.raises(SettingsError, match="At step 7 all weights"):
        shares((Weight(knots=((6, 1.0), (7, 0.0))),), 7)
