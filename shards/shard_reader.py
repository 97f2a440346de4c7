"""Reads single samples out of one shard: index rows by memory map, payloads by `pread`, digest on every read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from shards.errors import CorruptShardError, MissingFieldError, did_you_mean
from shards.index import ArrowTable
from shards.sample import Sample
from shards.schema import BLOCK, LABEL, Fields, fact_columns, kind_spec

Member = tuple[str, int, int, int]
"""Field, byte offset, size and XXH3 of a payload, or of the span of a sequence."""
Row = tuple[str, Mapping[str, Any], tuple[Member, ...]]
"""Key, facts and members of a sample: all that is needed to read it."""


class ShardReader:
    """Random access to one tar through its index. It keeps nothing but the open files.

    Args:
        tar: The tar.
        index: The Arrow file beside it.
        fields: The fields of the dataset, with their kinds.

    Raises:
        CorruptShardError: The tar cannot be opened.
    """

    def __init__(self, tar: Path, index: Path, fields: Fields) -> None:
        self.tar = tar
        self._fields = fields
        self._sequences = frozenset(name for name, kind in fields.items() if kind_spec(kind).is_sequence)
        self._index = index
        try:
            self._descriptor = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CorruptShardError(
                f"{tar} cannot be opened: {error.strerror}. Run `maskloom verify` on the dataset."
            ) from error

    @cached_property
    def _table(self) -> ArrowTable:
        return ArrowTable(self._index)

    @property
    def num_rows(self) -> int:
        """Samples in the shard."""
        blocks = self._table.num_blocks
        return 0 if blocks == 0 else (blocks - 1) * BLOCK + int(self._table.block(blocks - 1).num_rows)

    def close(self) -> None:
        """Close the tar."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def rows(self, block: int, fields: tuple[str, ...]) -> list[Row]:
        """Return what is needed to read the samples of a block with the given fields."""
        batch = self._table.block(block)
        keys = _values(batch, "key")
        names = self._fact_names(fields)
        facts = zip(*(_values(batch, name) for name in names), strict=True) if names else [()] * len(keys)
        members = list(zip(*(_members(batch, field) for field in fields), strict=True)) if fields else [()] * len(keys)
        if any((batch.column(f"{field}.size").to_numpy() < 0).any() for field in fields):
            members = [tuple(member for member in row if member[2] >= 0) for row in members]
        named = [dict(zip(names, values, strict=True)) for values in facts]
        return list(zip(keys, named, members, strict=True))

    def read(self, row: Row) -> Sample:
        """Read the payloads of a row and check them.

        Raises:
            CorruptShardError: Stored bytes differ from their recorded digest.
        """
        key, facts, members = row
        payloads: dict[str, bytes] = {}
        frames: dict[str, tuple[bytes, ...]] = {}
        for field, offset, size, digest in members:
            data = os.pread(self._descriptor, size, offset)
            if field in self._sequences:
                frames[field] = _slices(data, facts[f"{field}.starts"], facts[f"{field}.sizes"])
                found = _digest_of_all(frames[field])
            else:
                payloads[field], found = data, xxhash.xxh3_64_intdigest(data)
            if found != digest:
                raise CorruptShardError(
                    f"{self.tar}: field '{field}' of sample '{key}' (bytes {offset}..{offset + size}) is not what was "
                    "stored. The file was damaged or replaced: run `maskloom verify`, then ingest into a new folder."
                )
        return Sample(key, payloads, facts, frames)

    def facts(self, block: int, name: str) -> list[Any]:
        """Return one indexed value of all samples of a block.

        Raises:
            MissingFieldError: The index has no column `name`.
        """
        names = self._table.schema.names
        if name not in names:
            raise MissingFieldError(f"{self.tar}: the index has no column '{name}'.{did_you_mean(name, names)}")
        values: list[Any] = self._table.block(block).column(name).to_pylist()
        return values

    def _fact_names(self, fields: tuple[str, ...]) -> list[str]:
        known = self._table.schema.names
        wanted = [name for field in fields for name in fact_columns(field, self._fields[field])]
        return [name for name in dict.fromkeys([*wanted, LABEL]) if name in known]


def _slices(span: bytes, starts: list[int], sizes: list[int]) -> tuple[bytes, ...]:
    return tuple(span[start : start + size] for start, size in zip(starts, sizes, strict=True))


def _digest_of_all(elements: tuple[bytes, ...]) -> int:
    """Return the digest of the payloads of a sequence, one after the other."""
    state = xxhash.xxh3_64()
    for element in elements:
        state.update(element)
    return state.intdigest()


def _members(batch: pa.RecordBatch, field: str) -> Iterator[Member]:
    parts = (_values(batch, f"{field}.{part}") for part in ("offset", "size", "xxh3"))
    return zip(repeat(field), *parts)


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    column = batch.column(name)
    if pa.types.is_integer(column.type) and column.null_count == 0:
        return list(column.to_numpy().tolist())  # several times faster than one Arrow scalar after the other
    return list(column.to_pylist())
