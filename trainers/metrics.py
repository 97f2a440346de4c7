"""Metrics of a run: one JSON object per optimiser step, TensorBoard events, and what the terminal shows."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipelines.json_lines import complete_lines
from shards.storage import storage_errors

Record = Mapping[str, int | float]
"""The metrics of one optimiser step: `step`, `epoch`, `loss`, `loss/<term>`, `lr`, `grad_norm`, `samples_per_s`,
`tokens_per_s` (visible and target tokens), `data_wait` (share of wall time, 0 to 1), `memory_gib`."""


@runtime_checkable
class Sink(Protocol):
    """Somewhere records go."""

    def write(self, records: Sequence[Record]) -> None:
        """Take the records of consecutive steps."""

    def close(self) -> None:
        """Finish; no more records follow."""


def read_metrics(path: Path) -> list[dict[str, int | float]]:
    """All complete records of a metrics file, in order; an unfinished last line is left out."""
    return [record for _, record in complete_lines(path)]


class JsonLines:
    """Appends records to a file, one JSON object per line; floats keep every bit (repr round-trips).

    Every method raises StorageError when the file cannot be written.
    """

    def __init__(self, path: Path, *, last_step: int) -> None:
        """Continue after `last_step`: later lines, written by a process that was then killed, are cut off."""
        self._path = path
        kept = 0
        for end, record in complete_lines(path):
            if record["step"] > last_step:
                break
            kept = end
        with storage_errors(path):
            self._file = path.open("a", encoding="utf-8")
            os.truncate(path, kept)

    def write(self, records: Sequence[Record]) -> None:
        """Append records; they survive the death of this process from here on."""
        with storage_errors(self._path):
            self._file.writelines(json.dumps(dict(record)) + "\n" for record in records)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with storage_errors(self._path):
            self._file.close()


class TensorBoard:
    """Writes the last of every `every` records as TensorBoard scalars; StorageError when that fails."""

    def __init__(self, folder: Path, *, last_step: int, every: int) -> None:
        """Continue after `last_step`: TensorBoard hides events of later steps in the folder."""
        from torch.utils.tensorboard.writer import SummaryWriter  # slow to import

        self._folder = folder
        self._every = every
        with storage_errors(folder):
            self._writer: Any = SummaryWriter(str(folder), purge_step=last_step + 1)

    def write(self, records: Sequence[Record]) -> None:
        """Write the scalars of those records whose step is a multiple of `every`."""
        due = [record for record in records if int(record["step"]) % self._every == 0]
        with storage_errors(self._folder):
            for record in due:
                for name, value in record.items():
                    self._writer.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Flush and close the event file."""
        with storage_errors(self._folder):
            self._writer.close()


class LiveProgress:
    """A progress bar with the current numbers, for a terminal."""

    def __init__(self, console: Console, *, last_step: int, total: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[numbers]}"))
        self._progress = Progress(*columns, console=console)
        self._task: TaskID = self._progress.add_task("train", total=total, completed=last_step, numbers="")
        self._progress.start()

    def write(self, records: Sequence[Record]) -> None:
        """Show the last record."""
        if records:
            self._progress.update(self._task, completed=int(records[-1]["step"]), numbers=_summary(records[-1]))

    def close(self) -> None:
        """Leave the last state of the bar on the terminal."""
        self._progress.stop()


class PlainLines:
    """One line at most every `interval_s` seconds, for log files and pipes; the last record is always shown."""

    def __init__(self, console: Console, *, total: int, interval_s: float = 10.0) -> None:
        self._console = console
        self._total = total
        self._interval_s = interval_s
        self._shown_at = float("-inf")
        self._unshown: Record | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Show the last record if the last line is old enough, else remember it."""
        if not records:
            return
        self._unshown = records[-1]
        if time.monotonic() - self._shown_at >= self._interval_s:
            self._show()

    def close(self) -> None:
        """Show the last record if it has not been shown."""
        self._show()

    def _show(self) -> None:
        if self._unshown is None:
            return
        line = f"step {int(self._unshown['step'])}/{self._total}  {_summary(self._unshown)}"
        self._console.print(line, soft_wrap=True, highlight=False)
        self._shown_at = time.monotonic()
        self._unshown = None


def _summary(record: Record) -> str:
    return (
        f"epoch {record['epoch']:.2f}  loss {record['loss']:.4f}  lr {record['lr']:.2e}  "
        f"{record['samples_per_s']:.0f} samples/s  waiting for data {record['data_wait']:.0%}"
    )


class Metrics:
    """Hands records to every sink; a context manager that closes them."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, records: Sequence[Record]) -> None:
        """Hand the records of consecutive steps to every sink."""
        for sink in self._sinks:
            sink.write(records)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
