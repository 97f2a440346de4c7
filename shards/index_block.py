"""One block of an index in memory: columns as flat lists, read when they are first asked for, and no object per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa

from shards.errors import MissingFieldError, did_you_mean
from shards.spans import Span
from shards.store import StoredFile
from shards.tar import HEADER_BYTES


class Members(NamedTuple):
    """Where the members of one field stand in the tar, by row.

    Args:
        field: Name of the field.
        is_sequence: Whether a row has a span of several members.
        offsets: First byte of the payload or span.
        sizes: Its bytes; -1 where the sample lacks the field.
        digests: XXH3, 64 bits, of the payload, or of all payloads of the span.
    """

    field: str
    is_sequence: bool
    offsets: list[int]
    sizes: list[int]
    digests: list[int]


class Layout:
    """What all blocks of an index have in common, when some of the fields are read.

    Args:
        path: The index file, for messages.
        columns: Where each column stands.
        fields: The fields to read, and whether each is a sequence.
        facts: The columns that a sample shows as its facts, as far as the index has them.
    """

    def __init__(
        self, *, path: str, columns: Mapping[str, int], fields: Mapping[str, bool], facts: Iterable[str]
    ) -> None:
        self.path = path
        self.columns = columns
        self.fields = fields
        self.facts = {name: columns[name] for name in facts if name in columns}


class IndexBlock:
    """Up to 64 rows of an index.

    Args:
        batch: The record batch of the block.
        layout: What it has in common with the others.
        open_tar: Opens the file where the members stand, when the first of them is read.

    Raises:
        MissingFieldError: The index lacks a column that locates a field.
    """

    def __init__(self, batch: pa.RecordBatch, layout: Layout, open_tar: Callable[[], StoredFile]) -> None:
        self.layout = layout
        self._batch = batch
        self._open_tar = open_tar
        self._columns: dict[str, list[Any]] = {}
        self.keys: list[str] = self.column("key")
        self.members = tuple(
            Members(field, is_sequence, *(self.column(f"{field}.{part}") for part in ("offset", "size", "xxh3")))
            for field, is_sequence in layout.fields.items()
        )

    @cached_property
    def tar(self) -> StoredFile:
        """The tar, for reading the members of this block."""
        return self._open_tar().within(lambda: chain.from_iterable(map(self.spans, range(len(self.keys)))))

    def spans(self, row: int) -> list[Span]:
        """Return where the members of a row stand in the tar, each with the header before it."""
        return [
            (part.offsets[row] - HEADER_BYTES, part.offsets[row] + part.sizes[row])
            for part in self.members
            if part.sizes[row] >= 0
        ]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column.

        Raises:
            MissingFieldError: The index has no such column.
        """
        values = self._columns.get(name)
        if values is None:
            values = self._columns[name] = self._values(name)
        return values

    def _values(self, name: str) -> list[Any]:
        place = self.layout.columns.get(name)
        if place is None:
            raise MissingFieldError(
                f"{self.layout.path}: the index has no column '{name}'.{did_you_mean(name, self.layout.columns)}"
            )
        column = self._batch.column(place)
        if pa.types.is_integer(column.type) and column.null_count == 0:
            return list(column.to_numpy().tolist())  # several times faster than one Arrow scalar after the other
        return list(column.to_pylist())


class Facts(Mapping[str, Any]):
    """What an index knows about one sample; looked up when it is asked for, and pickled as a plain dictionary."""

    __slots__ = ("_block", "_row")

    def __init__(self, block: IndexBlock, row: int) -> None:
        self._block = block
        self._row = row

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - any type that a column may have
        if name not in self._block.layout.facts:
            raise KeyError(name)
        return self._block.column(name)[self._row]

    def __iter__(self) -> Iterator[str]:
        return iter(self._block.layout.facts)

    def __len__(self) -> int:
        return len(self._block.layout.facts)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[Iterable[tuple[str, Any]]]]:
        return dict, (list(self.items()),)
