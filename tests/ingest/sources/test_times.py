import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.times import seconds_of


@pytest.mark.parametrize(
    "written, seconds",
    [("12.5", 12.5), (3, 3.0), ("01:02", 62.0), ("1:02:03.250", 3723.25), (" 00:00:00 ", 0.0), ("90:00", 5400.0)],
)
def test_seconds_and_clock_times_are_understood(written: object, seconds: float) -> None:
    assert seconds_of(written) == seconds


@pytest.mark.parametrize(
    "written", ["soon", "1:60", "1:60:00", "1:2:3:4", "-1:00", "1:", "", None, [1], "1 :00", 10**400]
)
def test_what_is_no_time_is_not_guessed(written: object) -> None:
    assert math.isnan(seconds_of(written))


@given(st.integers(0, 10**8))
def test_clock_times_count_as_their_seconds(milliseconds: int) -> None:
    seconds, rest = divmod(milliseconds, 1000)
    written = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"
    assert seconds_of(written) == pytest.approx(milliseconds / 1000)
