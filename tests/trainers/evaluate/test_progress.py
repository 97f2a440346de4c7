"""What is said of how far an evaluation is."""

import pytest
import torch

from tests.batches import make_batch
from trainers.evaluate import progress


def test_every_few_seconds_it_is_said_how_many_samples_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    batches = [make_batch(("a", "b", "c"), {"image": torch.zeros(3)}) for _ in range(4)]
    lines: list[str] = []
    passed = list(progress.told(batches, what="Encoding", total=12, say=lines.append))
    assert passed == batches
    assert lines == ["Encoding: 6 of 12 samples, 1 samples/s", "Encoding: 12 of 12 samples, 1 samples/s"]
