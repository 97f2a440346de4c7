"""Metrics files stay continuous, and sinks show what they are given."""

import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shards.errors import StorageError
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


def test_a_full_disk_is_told_as_such_and_closes_every_sink(tmp_path: Path) -> None:
    class Closing:
        closed = False

        def write(self, records: object) -> None:
            pass

        def close(self) -> None:
            self.closed = True

    sink, last = JsonLines(tmp_path / "metrics.jsonl", last_step=0), Closing()
    sink.close()
    sink._file = Path("/dev/full").open("w")  # noqa: SIM115 - the sink closes it
    with pytest.raises(StorageError, match="No space left while writing"), Metrics([sink, last]) as metrics:
        metrics.write([record(1)])
    assert last.closed


def test_metrics_that_cannot_be_written_are_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        JsonLines(tmp_path / "file" / "metrics.jsonl", last_step=0)
    with pytest.raises(StorageError):
        TensorBoard(tmp_path / "file" / "tensorboard", last_step=0, every=1)
