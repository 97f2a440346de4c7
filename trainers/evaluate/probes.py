"""What features know about labels: accuracies of two probes, each with its interval."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trainers.evaluate.features import Features, one_in_five
from trainers.evaluate.knn import knn_classify
from trainers.evaluate.labels import number_compactly
from trainers.evaluate.linear_probe import choose_l2, fit_probe

Z_95 = 1.959964
FEWEST = 10
"""Fewer labelled samples than this on either side of the split measure nothing."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """An accuracy with its 95 % Wilson interval, all from 0 to 1."""

    accuracy: float
    low: float
    high: float

    @staticmethod
    def of(predicted: Int[Tensor, " test"], labels: Int[Tensor, " test"]) -> "Score":
        """Score predictions; the interval treats test samples as independent draws (Wilson 1927)."""
        total = len(labels)
        accuracy = float((predicted == labels).double().mean())
        denominator = 1 + Z_95**2 / total
        centre = (accuracy + Z_95**2 / (2 * total)) / denominator
        spread = Z_95 * math.sqrt(accuracy * (1 - accuracy) / total + Z_95**2 / (4 * total**2)) / denominator
        return Score(accuracy=accuracy, low=max(0.0, centre - spread), high=min(1.0, centre + spread))


def split(features: Features) -> tuple[Features, Features]:
    """Four of five samples to train a probe on and one of five to test it, by the hash of the key."""
    is_test = one_in_five(features.keys, purpose="test")
    return features.rows(~is_test), features.rows(is_test)


def reason_to_skip(train: Features, test: Features) -> str | None:
    """Why nothing can be classified, or None when it can."""
    if not len(train.keys) + len(test.keys):
        return "no sample has a label, so there is nothing to classify"
    if min(len(train.keys), len(test.keys)) < FEWEST:
        return (
            f"{len(train.keys)} labelled samples to train on and {len(test.keys)} to test on are too few; "
            f"at least {FEWEST} of each are needed"
        )
    if int(train.labels.min()) == int(train.labels.max()):
        return "all labelled samples to train on have the same label"
    return None


def probe(train: Features, test: Features, *, device: torch.device) -> dict[str, dict[str, Any]]:
    """Score every feature set of `train` and `test` with both probes: {feature set: {"knn": ..., "linear": ...}}."""
    train, test, num_classes = number_compactly(train, test)
    return {
        name: {
            "knn": asdict(_knn(train, test, name, num_classes, device)),
            "linear": _linear(train, test, name, num_classes, device),
        }
        for name in train.vectors
    }


def majority(train: Features, test: Features) -> Score:
    """The score of always answering with the most frequent training label: what knowing nothing reaches."""
    return Score.of(train.labels.mode().values.expand(len(test.labels)), test.labels)


def _knn(train: Features, test: Features, name: str, num_classes: int, device: torch.device) -> Score:
    rows, labels, asked = _on(device, train.vectors[name], train.labels, test.vectors[name])
    return Score.of(knn_classify(rows, labels, asked, num_classes=num_classes).cpu(), test.labels)


def _linear(train: Features, test: Features, name: str, num_classes: int, device: torch.device) -> dict[str, float]:
    rows, labels, asked = _on(device, train.vectors[name], train.labels, test.vectors[name])
    held_out = one_in_five(train.keys, purpose="held out").to(device)
    l2 = choose_l2(rows, labels, held_out, num_classes=num_classes)
    fitted = fit_probe(rows, labels, num_classes=num_classes, l2=l2)
    return {**asdict(Score.of(fitted.predict(asked).cpu(), test.labels)), "l2": l2}


def _on(
    device: torch.device, rows: Float[Tensor, "train width"], labels: Int[Tensor, " train"], asked: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return rows.to(device), labels.to(device), asked.to(device)
