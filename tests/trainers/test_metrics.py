"""Metrics files stay continuous, and sinks show what they are given."""

import io
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trainers.metrics import JsonLines, LiveProgress, Metrics, PlainLines, Record, TensorBoard, read_metrics


def record(step: int, loss: float = 0.5) -> Record:
    return {
        "step": step,
        "epoch": step / 10,
        "loss": loss,
        "lr": 1e-3,
        "grad_norm": 1.0,
        "samples_per_s": 100.0,
        "tokens_per_s": 1000.0,
        "data_wait": 0.25,
        "memory_gib": 1.0,
    }


def write(path: Path, steps: range, *, last_step: int) -> None:
    with Metrics([JsonLines(path, last_step=last_step)]) as metrics:
        metrics.write([record(step) for step in steps])


def test_lines_after_the_resumed_step_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 8), last_step=0)
    write(path, range(5, 7), last_step=4)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3, 4, 5, 6]


def test_a_line_torn_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4), last_step=0)
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    write(path, range(4, 5), last_step=3)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3, 4]


def test_starting_over_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4), last_step=0)
    write(path, range(0), last_step=0)
    assert read_metrics(path) == []


@given(loss=st.floats(allow_nan=False, allow_infinity=False))
def test_losses_keep_every_bit(tmp_path_factory: object, loss: float) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"  # type: ignore[attr-defined]
    with Metrics([JsonLines(path, last_step=0)]) as metrics:
        metrics.write([record(1, loss)])
    (found,) = read_metrics(path)
    assert found["loss"] == loss
    assert math.copysign(1, found["loss"]) == math.copysign(1, loss)


def test_plain_lines_show_the_first_and_the_last_step() -> None:
    text = io.StringIO()
    with Metrics([PlainLines(Console(file=text, width=60), total=50)]) as metrics:
        for step in range(1, 51):
            metrics.write([record(step)])
    lines = text.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/50", "50/50"]


def test_live_progress_shows_the_last_step() -> None:
    text = io.StringIO()
    with Metrics([LiveProgress(Console(file=text, width=160, force_terminal=True), last_step=2, total=5)]) as metrics:
        metrics.write([record(3), record(4, 0.125)])
    assert "4/5" in text.getvalue()
    assert "loss 0.1250" in text.getvalue()


def test_tensorboard_gets_every_tenth_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Metrics([TensorBoard(tmp_path, last_step=0, every=10)]) as metrics:
        metrics.write([record(step) for step in range(1, 25)])
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20]
