"""Writes one shard: samples go into a tar, its index and its rejects, and become real with the receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import xxhash

from shards.index import absent_member
from shards.receipt import FileRecord, Receipt
from shards.sample import Sample
from shards.schema import RejectReason
from shards.shard_commit import ShardRecord, commit_shard
from shards.storage import publish, short_digest, storage_errors, temporary_path
from shards.tar import TarWriter


class ShardWriter:
    """Collects samples and rejects of one shard in temporary files, then publishes all and commits the receipt.

    Until `commit` returns, readers see nothing; a killed writer leaves only temporary files or unreferenced payloads.

    Args:
        root: Dataset folder.
        shard: Number of the shard.
        plan_id: Plan that the shard is written from.
        fields: Fields that the dataset declares.
    """

    def __init__(self, root: Path, *, shard: int, plan_id: str, fields: tuple[str, ...]) -> None:
        self._root = root
        self._fields = fields
        self._record = ShardRecord(shard=shard, plan_id=plan_id, fields=fields)
        with storage_errors(root):
            self._path = temporary_path(root, f"{shard:06d}.tar")
            self._tar = TarWriter(self._path)

    def add(
        self,
        sample: Sample,
        *,
        extensions: Mapping[str, str],
        sha256: Mapping[str, bytes],
        source: str,
        licence: str | None,
    ) -> None:
        """Append a sample.

        Args:
            sample: Encoded fields and facts.
            extensions: Tar extension by field, without the dot.
            sha256: Digest of the raw input of each field, before any change made at ingest.
            source: Where the sample came from, for people.
            licence: Its licence, if known.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        row: dict[str, Any] = {"key": sample.key, "source": source, "licence": licence}
        for field in self._fields:
            data = sample.fields.get(field)
            if data is None:
                row |= absent_member(field)
                continue
            with storage_errors(self._path):
                offset = self._tar.add(f"{sample.key}.{extensions[field]}", data)
            row |= {
                f"{field}.offset": offset,
                f"{field}.size": len(data),
                f"{field}.xxh3": xxhash.xxh3_64_intdigest(data),
                f"{field}.sha256": sha256[field],
            }
        self._record.rows.append(row | dict(sample.facts))

    def reject(self, key: str, *, source: str, reason: RejectReason, detail: str) -> None:
        """Record that an item is not stored, and why."""
        self._record.reject(key, source=source, reason=reason, detail=detail)

    def commit(self) -> Receipt:
        """Publish the files, commit the receipt, and return the one that counts.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        with storage_errors(self._path):
            digest = self._tar.finish()
        final = f"data/{self._record.shard:06d}-{short_digest(digest)}.tar"
        publish(self._path, self._root / final)
        tar = FileRecord(path=final, bytes=self._tar.size, digest=digest)
        return commit_shard(self._root, self._record, tar)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.__exit__(kind, error, trace)
        self._path.unlink(missing_ok=True)


def raw_sha256(data: bytes) -> bytes:
    """Return the SHA-256 of raw input bytes: its identity for provenance and exact duplicates."""
    return hashlib.sha256(data).digest()
