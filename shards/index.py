"""The index beside every tar: one row per sample, one record batch per block, opened by memory map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from shards.errors import CorruptShardError, Damage
from shards.schema import ABSENT, BLOCK, fact_columns
from shards.storage import file_digest, sync


def write_table(path: Path, schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write `rows` as an uncompressed Arrow file, 64 rows per record batch, and return its digest."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, len(rows), BLOCK):
            writer.write_batch(pa.RecordBatch.from_pylist(list(rows[start : start + BLOCK]), schema=schema))
    sync(path)
    return file_digest(path, "sha256")


def absent_member(name: str, kind: str) -> dict[str, Any]:
    """Return the index columns of a sample that lacks the field `name`: size -1, no facts."""
    columns: dict[str, Any] = {
        f"{name}.offset": 0,
        f"{name}.size": ABSENT,
        f"{name}.xxh3": 0,
        f"{name}.sha256": None,
    }
    return columns | {fact: _absent_fact(data_type) for fact, data_type in fact_columns(name, kind).items()}


def _absent_fact(data_type: pa.DataType) -> int | None:
    """Return what stands for a fact of a field that is not there: -1 where the type has it, else null."""
    return ABSENT if pa.types.is_signed_integer(data_type) else None


class ArrowTable:
    """An Arrow file, by memory map or any other source of bytes; batches are views, nothing is copied.

    Args:
        path: Names the file in messages, and is opened by memory map unless there is a `source`.
        source: The content of the file.
        shard: The file as its dataset names it, for errors; by default the path.

    Attributes:
        names: Its columns.

    Raises:
        CorruptShardError: The file is missing or no Arrow file.
    """

    def __init__(self, path: Path | str, source: pa.NativeFile | None = None, *, shard: str | None = None) -> None:
        self.path = path
        self.shard = shard or str(path)
        try:
            self._source = pa.memory_map(str(path)) if source is None else source
            self._reader = pa.ipc.open_file(self._source)
            self.names: list[str] = self._reader.schema.names
        except (OSError, ValueError, pa.ArrowException) as error:
            kind = Damage.MISSING if isinstance(error, FileNotFoundError) else Damage.TRUNCATED
            raise CorruptShardError(
                f"{path} cannot be read as an Arrow file: {error}. Run `maskloom verify`.", kind=kind, shard=self.shard
            ) from error

    @property
    def schema(self) -> pa.Schema:
        """The columns of the file."""
        return self._reader.schema

    @property
    def num_blocks(self) -> int:
        """Record batches in the file."""
        return int(self._reader.num_record_batches)

    def batch(self, number: int) -> pa.RecordBatch:
        """Return a record batch as it stands: whoever looks into a column validates it first.

        Raises:
            CorruptShardError: There is no such batch, or its frame is damaged.
        """
        try:
            return self._reader.get_batch(number)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self.damaged(number, error) from error

    def block(self, number: int) -> pa.RecordBatch:
        """Return the record batch of block `number`, whose offsets are known to stay inside it.

        Raises:
            CorruptShardError: There is no such block, or it is damaged.
        """
        batch = self.batch(number)
        try:
            batch.validate(full=True)  # a damaged offset would be followed out of the file
        except pa.ArrowException as error:
            raise self.damaged(number, error) from error
        return batch

    def damaged(self, block: int, error: Exception) -> CorruptShardError:
        """Return the error that says that a block cannot be read."""
        return CorruptShardError(
            f"{self.path}: block {block} cannot be read: {error}. Run `maskloom verify`.",
            kind=Damage.PAYLOAD,
            shard=self.shard,
        )

    def rows(self) -> Iterable[dict[str, Any]]:
        """Iterate over all rows as dictionaries, a block at a time."""
        for number in range(self.num_blocks):
            yield from self.block(number).to_pylist()
