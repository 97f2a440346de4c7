"""The last act of writing a shard, the same for ingest and adoption: index and rejects are published, the receipt commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from shards.index import write_table
from shards.receipt import FileRecord, Receipt, commit_receipt
from shards.schema import MAX_DETAIL_CHARACTERS, REJECTS_SCHEMA, Fields, RejectReason, index_schema
from shards.storage import printable, publish, short_digest, storage_errors, temporary_path


@dataclass(slots=True, kw_only=True)
class ShardRecord:
    """What is known of a shard while it is made: the index rows of its samples, and what was refused."""

    shard: int
    plan_id: str
    fields: Fields
    split: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def reject(self, key: str, *, source: str, reason: RejectReason, detail: str) -> None:
        """Record that an item is not stored, and why; the detail is cut to what the format allows."""
        text = printable(detail)
        bounded = text if len(text) <= MAX_DETAIL_CHARACTERS else text[: MAX_DETAIL_CHARACTERS - 1] + "…"
        self.rejects.append({"key": key, "source": printable(source), "reason": reason.value, "detail": bounded})


def commit_shard(root: Path, record: ShardRecord, tar: FileRecord) -> Receipt:
    """Publish index and rejects of a shard whose tar stands, commit its receipt, and return the one that counts.

    Every file is named by its own digest, so two attempts that differ never overwrite each other's files.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    files = {
        "tar": tar,
        "index": _publish_table(root, "data", record.shard, index_schema(record.fields), record.rows),
        "rejects": _publish_table(root, "rejects", record.shard, REJECTS_SCHEMA, record.rejects),
    }
    sizes = {name: [row[f"{name}.size"] for row in record.rows if row[f"{name}.size"] >= 0] for name in record.fields}
    receipt = Receipt(
        shard=record.shard,
        plan_id=record.plan_id,
        split=record.split,
        samples=len(record.rows),
        rejects=_counted(row["reason"] for row in record.rejects),
        field_samples={name: len(found) for name, found in sizes.items()},
        field_bytes={name: sum(found) for name, found in sizes.items()},
        licences=_counted(row["licence"] for row in record.rows if row["licence"] is not None),
        ignored_members=dict(sorted(record.ignored.items())),
        files=files,
    )
    return commit_receipt(root, receipt)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _publish_table(
    root: Path, folder: str, shard: int, schema: pa.Schema, rows: Sequence[Mapping[str, Any]]
) -> FileRecord:
    temporary = temporary_path(root, f"{shard:06d}.{folder}")
    try:
        with storage_errors(temporary):
            digest = write_table(temporary, schema, rows)
            size = temporary.stat().st_size
        final = f"{folder}/{shard:06d}-{short_digest(digest)}.arrow"
        publish(temporary, root / final)
    finally:
        temporary.unlink(missing_ok=True)
    return FileRecord(path=final, bytes=size, digest=digest)
