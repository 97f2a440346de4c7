"""Reads single samples out of one shard: index row by memory map, payload by `pread`, digest on every read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xxhash

from shards.errors import CorruptShardError, MissingFieldError, did_you_mean
from shards.index import ArrowTable
from shards.sample import Sample
from shards.schema import BLOCK, member_columns

_Columns = dict[str, list[Any]]

_KEPT_BLOCKS = 16
"""Index blocks kept per open shard; with 256 open shards, about 80 MB at the most."""
_RARELY_READ = (".sha256", "source", "licence")


class ShardReader:
    """Random access to one tar through its index.

    The index is read a block (64 rows) at a time and a few blocks are kept as plain lists: neighbours in a block are asked
    for together. What only people ask for (source, licence, digest of the raw input) is not kept.
    """

    def __init__(self, tar: Path, index: Path) -> None:
        self.tar = tar
        self._table = ArrowTable(index)
        self._kept_columns = [name for name in self._table.schema.names if not name.endswith(_RARELY_READ)]
        self._blocks: dict[int, _Columns] = {}
        self._facts: dict[tuple[str, ...], tuple[str, ...]] = {}
        try:
            self._descriptor = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CorruptShardError(
                f"{tar} cannot be opened: {error.strerror}. Run `maskloom verify` on the dataset."
            ) from error

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

    def sample(self, row: int, fields: tuple[str, ...]) -> Sample:
        """Read the sample in `row` with the given fields and their facts.

        Raises:
            CorruptShardError: Stored bytes differ from their recorded digest.
        """
        columns, place = self._block(row // BLOCK), row % BLOCK
        payloads = {}
        for field in fields:
            size = columns[f"{field}.size"][place]
            if size >= 0:
                payloads[field] = self._member(columns, place, field, size)
        facts = {name: columns[name][place] for name in self._fact_names(fields)}
        return Sample(columns["key"][place], payloads, facts)

    def fact(self, row: int, name: str) -> Any:  # noqa: ANN401 - a fact is a number or a string
        """Return one indexed value of one sample.

        Raises:
            MissingFieldError: The index has no column `name`.
        """
        names = self._table.schema.names
        if name not in names:
            raise MissingFieldError(f"{self.tar}: the index has no column '{name}'.{did_you_mean(name, names)}")
        if name.endswith(_RARELY_READ):
            return self._table.block(row // BLOCK).column(name)[row % BLOCK].as_py()
        return self._block(row // BLOCK)[name][row % BLOCK]

    def _member(self, columns: _Columns, place: int, field: str, size: int) -> bytes:
        offset = columns[f"{field}.offset"][place]
        data = os.pread(self._descriptor, size, offset)
        if xxhash.xxh3_64_intdigest(data) != columns[f"{field}.xxh3"][place]:
            raise CorruptShardError(
                f"{self.tar}: field '{field}' of sample '{columns['key'][place]}' (bytes {offset}..{offset + size}) is not "
                "what was stored. The file was damaged or replaced: run `maskloom verify`, then ingest it again."
            )
        return data

    def _block(self, number: int) -> _Columns:
        columns = self._blocks.get(number)
        if columns is None:
            if len(self._blocks) >= _KEPT_BLOCKS:
                self._blocks.pop(next(iter(self._blocks)))
            columns = self._blocks[number] = self._table.block(number).select(self._kept_columns).to_pydict()
        return columns

    def _fact_names(self, fields: tuple[str, ...]) -> tuple[str, ...]:
        names = self._facts.get(fields)
        if names is None:
            located = {f"{field}.{part}" for field in fields for part in ("offset", "size", "xxh3", "sha256")}
            wanted = [name for field in fields for name in member_columns(field) if name not in located]
            if "label" in self._table.schema.names:
                wanted.append("label")
            names = self._facts[fields] = tuple(dict.fromkeys(wanted))
        return names
