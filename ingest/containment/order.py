"""What a client asks a decoder server for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ingest.containment.wire import pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One task to be done.

    Args:
        opener: What opens the job, as `module:name`; one of those that the server was started with.
        dataset: The dataset folder.
        number: Number of the task.
        source_root: Folder of the raw files.
    """

    opener: str
    dataset: Path
    number: int
    source_root: Path

    def __str__(self) -> str:
        return f"task {self.number} of {self.dataset} ({self.opener})"

    def to_bytes(self) -> bytes:
        """Serialise the order; paths need not be UTF-8."""
        return pack([self.opener, str(self.dataset), self.number, str(self.source_root)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """Read an order back."""
        opener, dataset, number, source_root = unpack(data)
        return cls(opener=opener, dataset=Path(dataset), number=number, source_root=Path(source_root))
