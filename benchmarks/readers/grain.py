"""grain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.readers.reader import BATCH, Collate, Pair

_KEY_BYTES = 16


class Grain:
    """Records in an ArrayRecord file, its global shuffle, its iterator with state; no reading threads."""

    name = "grain"
    modules = ("grain", "grain.sources", "array_record.python.array_record_module")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once, a record to each, as ArrayRecord advises for random access."""
        from array_record.python.array_record_module import ArrayRecordWriter

        self._folder.mkdir()
        writer = ArrayRecordWriter(str(self._folder / "pictures.array_record"), "group_size:1")
        for path in sorted(pictures.iterdir()):
            writer.write(path.stem.encode().ljust(_KEY_BYTES) + path.read_bytes())
        writer.close()

    @cached_property
    def records(self) -> Any:  # noqa: ANN401 - the package is optional
        """The records as grain's source."""
        from grain.sources import ArrayRecordDataSource

        return ArrayRecordDataSource([str(self._folder / "pictures.array_record")])

    def dataset(self, collate: Collate, epoch: int) -> Any:  # noqa: ANN401
        """Return the batches of an epoch as a dataset of grain."""
        from grain import MapDataset, ReadOptions

        shuffled = MapDataset.source(self.records).shuffle(seed=epoch).map(self.pair)
        batched = shuffled.batch(BATCH, batch_fn=collate)
        return batched.to_iter_dataset(ReadOptions(num_threads=0, prefetch_buffer_size=0))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch."""
        batches: Iterable[Any] = self.dataset(collate, epoch)
        return batches

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""

        def read() -> object:
            iterator = iter(self.dataset(collate, 0))
            iterator.set_state({"next_index": batch})
            return next(iterator)

        return read

    @staticmethod
    def pair(record: bytes) -> Pair:
        """Return the key and the picture of a record."""
        return record[:_KEY_BYTES].rstrip().decode(), record[_KEY_BYTES:]
