"""How far an evaluation is, told every few seconds."""

import time
from collections.abc import Callable, Iterable, Iterator

from pipelines.batch import Batch

EVERY_S = 5.0

Say = Callable[[str], None]
"""What prints a line."""


def say_nothing(line: str) -> None:
    """Print nothing."""


def told(batches: Iterable[Batch], *, what: str, total: int, say: Say) -> Iterator[Batch]:
    """Yield batches; now and then say of how many of `total` samples `what` was done, and how fast."""
    began = said = time.monotonic()
    seen = 0
    for batch in batches:
        yield batch
        seen += len(batch)
        now = time.monotonic()
        if now - said >= EVERY_S:
            said = now
            say(f"{what}: {seen:,} of {total:,} samples, {seen / (now - began):,.0f} samples/s")
