import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.masking.allotment import allotted

SHAPE = (5, 4)


def allotment(budget: int, weights: list[float], capacities: list[int]) -> list[int]:
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.array([weights]))
    found = allotted(budget, log_weights=logarithms, capacities=np.array([capacities]))
    return [int(tokens) for tokens in found[0]]


@given(
    st.integers(1, 300),
    arrays.arrays(np.float64, SHAPE, elements=st.floats(-2000, 0) | st.just(-np.inf)),
    arrays.arrays(np.int64, SHAPE, elements=st.integers(0, 200)),
)
@settings(deadline=None, max_examples=400)
def test_the_budget_is_spent_exactly_and_nobody_gets_more_than_it_can_use(
    budget: int, log_weights: np.ndarray, capacities: np.ndarray
) -> None:
    found = allotted(budget, log_weights=log_weights, capacities=capacities)
    usable = np.where(np.isneginf(log_weights), 0, capacities)
    assert (found >= 0).all()
    assert (found <= usable).all()
    np.testing.assert_array_equal(found.sum(axis=1), np.minimum(budget, usable.sum(axis=1)))


@pytest.mark.parametrize(
    ("budget", "weights", "capacities", "expected"),
    [
        (10, [1.0, 1.0], [100, 100], [5, 5]),
        (98, [0.5, 0.25, 0.25], [196, 196, 196], [49, 25, 24]),
        (10, [0.6, 0.3, 0.1], [2, 100, 100], [2, 6, 2]),
        (10, [0.6, 0.3, 0.1], [0, 6, 100], [0, 6, 4]),
        (10, [1.0, 0.0], [4, 100], [4, 0]),
        (10, [0.0, 0.0], [4, 4], [0, 0]),
        (5, [0.34, 0.33, 0.33], [9, 9, 9], [2, 2, 1]),
        (100, [1.0, 1.0, 1.0], [10, 20, 30], [10, 20, 30]),
    ],
)
def test_what_one_cannot_use_goes_to_the_others_in_proportion(
    budget: int, weights: list[float], capacities: list[int], expected: list[int]
) -> None:
    assert allotment(budget, weights, capacities) == expected


def test_weights_beyond_all_numbers_keep_their_proportion_once_the_heaviest_is_full() -> None:
    logarithms = np.array([[0.0, -3000.0, -3000.0 + np.log(0.5)]])
    found = allotted(40, log_weights=logarithms, capacities=np.array([[10, 100, 100]]))
    assert found.tolist() == [[10, 20, 10]]
