from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.masking.shares import (
    between_one_and_all_but_one,
    ceil_share,
    floor_share,
    nearest_share,
    remaining_share,
    require_within,
)
from shards.errors import SettingsError


@given(st.integers(0, 100_000), st.integers(0, 1000))
def test_products_are_those_of_the_decimal_number_as_written(count: int, thousandths: int) -> None:
    share, exact = thousandths / 1000, Fraction(thousandths, 1000) * count
    assert floor_share(count, share) == floor(exact)
    assert ceil_share(count, share) == ceil(exact)
    assert nearest_share(count, share) == round(exact)
    assert remaining_share(count, share) == count - ceil(exact)


def test_binary_products_would_be_wrong() -> None:
    assert (floor_share(100, 0.29), int(100 * 0.29)) == (29, 28)
    assert (remaining_share(10, 0.9), int(10 * (1 - 0.9))) == (1, 0)
    assert nearest_share(10, 0.25) == 2


@pytest.mark.parametrize(("count", "expected"), [(-5, 1), (0, 1), (3, 3), (9, 9), (10, 9), (99, 9)])
def test_one_is_counted_and_one_is_not(count: int, expected: int) -> None:
    assert between_one_and_all_but_one(count, 10) == expected


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_lies_outside_is_refused_by_name(value: float) -> None:
    with pytest.raises(SettingsError, match=r"A share of dust of .* was asked for; give 0 to 1\."):
        require_within("share of dust", value, least=0.0, most=1.0)
