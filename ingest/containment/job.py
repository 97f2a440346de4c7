"""What containment asks of the work it runs: items that can be encoded one by one, and a way to write what they become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from ingest.rejection import Rejection
from ingest.settings import Limits

Encoded = TypeVar("Encoded")
"""What an item becomes; one of the classes that `ingest.containment.wire` knows."""
Written = TypeVar("Written", covariant=True)


class Job(Protocol[Encoded, Written]):
    """One task of an ingest. Whoever encodes an item need not be the process that writes."""

    @property
    def limits(self) -> Limits:
        """What an item may cost."""

    def __len__(self) -> int: ...

    def prepare(self, place: int, /) -> None:
        """Load what an item needs that can only be loaded together with others, outside of the bounds of any item.

        It comes before `encode`, in a process that lives on. What is at fault with an item is raised there, not here.

        Raises:
            SourceError: The machine cannot read the source at all.
        """

    def encode(self, place: int, /) -> Encoded:
        """Read and encode an item; pure apart from reading.

        Raises:
            Rejection: The item cannot be stored.
        """

    def write(self, outcomes: Iterator[Encoded | Rejection], /) -> Written:
        """Write the outcomes of all items, in order, and commit them."""


class OpenJob(Protocol):
    """Opens task number `number` of what `dataset` plans, with raw files below `source_root`."""

    def __call__(self, dataset: Path, number: int, source_root: Path, /) -> Job[object, object]:
        """Open the task."""
