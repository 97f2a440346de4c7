"""Scores."""

from dataclasses import replace

import pytest
import torch

from trainers.evaluate.features import Features
from trainers.evaluate.probes import Score, majority, probe, reason_to_skip, split


def features(count: int, *, classes: int = 3, noise: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, 8, generator=torch.Generator().manual_seed(1)) * 3
    return Features(
        keys=tuple(f"key{number}" for number in range(count)),
        labels=labels,
        vectors={
            "knows": centres[labels] + noise * torch.randn(count, 8, generator=generator),
            "does not know": torch.randn(count, 8, generator=generator),
        },
    )


def test_interval_is_that_of_wilson() -> None:
    # Brown, Cai, DasGupta 2001; statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson").
    labels = torch.zeros(10, dtype=torch.long)
    predicted = torch.tensor([0] * 8 + [1] * 2)
    score = Score.of(predicted, labels)
    assert score.accuracy == pytest.approx(0.8)
    assert (score.low, score.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-5)


def test_interval_stays_within_zero_and_one() -> None:
    labels = torch.zeros(5, dtype=torch.long)
    assert Score.of(labels, labels).high == 1.0
    assert Score.of(labels + 1, labels).low == 0.0


def test_probes_tell_features_that_know_from_features_that_do_not() -> None:
    scores = probe(*split(features(400)), device=torch.device("cpu"))
    for kind in ("knn", "linear"):
        assert scores["knows"][kind]["low"] > 0.9
        assert scores["does not know"][kind]["accuracy"] < 0.55


def test_knowing_nothing_reaches_the_share_of_the_most_frequent_label() -> None:
    assert majority(*split(features(900))).accuracy == pytest.approx(1 / 3, abs=0.1)


@pytest.mark.parametrize(
    ("count", "classes", "reason"), [(0, 3, "no sample has a label"), (12, 3, "too few"), (200, 1, "the same label")]
)
def test_what_cannot_be_classified_is_skipped_with_a_reason(count: int, classes: int, reason: str) -> None:
    found = reason_to_skip(*split(features(count, classes=classes)))
    assert found is not None
    assert reason in found


def test_enough_labels_are_not_skipped() -> None:
    assert reason_to_skip(*split(features(200))) is None


def test_huge_labels_cost_nothing_and_score_the_same() -> None:
    plain = features(150)
    huge = replace(plain, labels=plain.labels * 700_000_000)
    device = torch.device("cpu")
    assert probe(*split(huge), device=device) == probe(*split(plain), device=device)
