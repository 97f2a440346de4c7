"""What a long run says: how far it is (a live bar on a terminal, a line now and then elsewhere), and what looks odd."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ingest.items import RawItem
from ingest.sources import Source
from ingest.sources.endings import ending_hint

_LINE_EVERY_S = 10.0


def print_hint(source: Source, listing: Iterable[RawItem], console: Console) -> None:
    """Print a hint if the names of the files look like fields of one item that were taken for items of their own."""
    hint = None if source.understanding.rules else ending_hint(listing)
    if hint is not None:
        console.print(f"hint: {hint}", highlight=False, markup=False)


class Reporter:
    """Progress of one stage of a run, counted in items.

    Args:
        console: Where to write.
        stage: What is being done, for people.
        total: Items in all, or None while that is not known.
    """

    def __init__(self, console: Console, stage: str, total: int | None) -> None:
        self._console = console
        self._stage = stage
        self._total = total
        self._done = self._rejected = self._earlier = 0
        self._start = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(stage, total=total, note="")

    def resume_at(self, done: int) -> None:
        """Count items that an earlier run has finished."""
        self._done = self._earlier = done
        self._bar.update(self._task, completed=done)

    def advance(self, items: int, rejected: int = 0) -> None:
        """Count finished items, and how many of them were rejected."""
        self._done += items
        self._rejected += rejected
        rate = (self._done - self._earlier) / max(time.monotonic() - self._start, 1e-9)
        note = f"{rate:,.0f} items/s" + (f", {self._rejected:,} rejected" if self._rejected else "")
        self._bar.update(self._task, completed=self._done, note=note)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            of_total = f" of {self._total:,}" if self._total is not None else ""
            self._console.print(f"{self._stage}: {self._done:,}{of_total}, {note}", highlight=False)

    def __enter__(self) -> Reporter:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
