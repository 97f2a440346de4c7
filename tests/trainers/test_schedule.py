"""The learning rate over time."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.schedule import WarmupCosine, scaled_rate

# Made by adjust_learning_rate of facebookresearch/mae, util/lr_sched.py; the fixture says how.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fn_lr_schedule.json").read_text())
REFERENCE = [(row["epoch"], row["lr"]) for row in GOLDEN["values_in_double"]]
SCHEDULE = WarmupCosine(peak=2.4e-3, minimum=0.0, warmup_epochs=40.0, epochs=800.0)


@pytest.mark.parametrize(("epoch", "expected"), REFERENCE)
def test_rate_equals_the_official_code(epoch: float, expected: float) -> None:
    assert SCHEDULE.at(epoch) == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_peak_is_stated_per_256_samples() -> None:
    assert scaled_rate(1.5e-4, 4096) == pytest.approx(2.4e-3)


def test_rate_stays_at_the_minimum_after_the_end() -> None:
    schedule = WarmupCosine(peak=1.0, minimum=0.1, warmup_epochs=1.0, epochs=3.0)
    assert schedule.at(3.0) == schedule.at(5.5) == 0.1


@given(
    warmup=st.floats(0, 10),
    rest=st.floats(0.1, 100),
    at=st.floats(0, 200),
    peak=st.floats(1e-6, 1),
    low=st.floats(0, 1),
)
def test_rate_never_leaves_the_range_it_was_given(
    warmup: float, rest: float, at: float, peak: float, low: float
) -> None:
    minimum = low * peak
    schedule = WarmupCosine(peak=peak, minimum=minimum, warmup_epochs=warmup, epochs=warmup + rest)
    lowest = minimum if at >= warmup else 0.0
    assert lowest * (1 - 1e-9) <= schedule.at(at) <= peak * (1 + 1e-9)
