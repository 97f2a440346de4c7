"""Writes one shard: samples go into a tar, its index and its rejects, and become real with the receipt."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import xxhash

from shards.index import absent_member, write_rejects, write_table
from shards.receipt import FileRecord, Receipt, commit_receipt
from shards.sample import Sample
from shards.schema import MAX_DETAIL_CHARACTERS, RejectReason, index_schema
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
        self._shard = shard
        self._plan_id = plan_id
        self._fields = fields
        self._rows: list[dict[str, Any]] = []
        self._rejects: list[dict[str, str]] = []
        self._samples, self._bytes, self._licences = Counter[str](), Counter[str](), Counter[str]()
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
            self._samples[field] += 1
            self._bytes[field] += len(data)
        self._rows.append(row | dict(sample.facts))
        if licence is not None:
            self._licences[licence] += 1

    def reject(self, key: str, *, source: str, reason: RejectReason, detail: str) -> None:
        """Record that an item is not stored, and why."""
        text = detail.encode("utf-8", "replace").decode()  # details quote file names, which need not be UTF-8
        bounded = text if len(text) <= MAX_DETAIL_CHARACTERS else text[: MAX_DETAIL_CHARACTERS - 1] + "…"
        self._rejects.append({"key": key, "source": source, "reason": reason.value, "detail": bounded})

    def commit(self) -> Receipt:
        """Publish the files, commit the receipt, and return the one that counts.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        with storage_errors(self._path):
            digest = self._tar.finish()
        name = f"{self._shard:06d}-{short_digest(digest)}"
        files = {
            "tar": self._publish(self._path, f"data/{name}.tar", digest),
            "index": self._publish_table(f"data/{name}.arrow"),
            "rejects": self._publish_rejects(f"rejects/{name}.arrow"),
        }
        receipt = Receipt(
            shard=self._shard,
            plan_id=self._plan_id,
            samples=len(self._rows),
            rejects=dict(sorted(Counter(row["reason"] for row in self._rejects).items())),
            field_samples=dict(self._samples),
            field_bytes=dict(self._bytes),
            licences=dict(self._licences),
            ignored_members={},
            files=files,
        )
        return commit_receipt(self._root, receipt)

    def _publish_table(self, final: str) -> FileRecord:
        path = temporary_path(self._root, f"{self._shard:06d}.arrow")
        with storage_errors(path):
            digest = write_table(path, index_schema(self._fields), self._rows)
        return self._publish(path, final, digest)

    def _publish_rejects(self, final: str) -> FileRecord:
        path = temporary_path(self._root, f"{self._shard:06d}.rejects")
        with storage_errors(path):
            digest = write_rejects(path, self._rejects)
        return self._publish(path, final, digest)

    def _publish(self, temporary: Path, final: str, digest: str) -> FileRecord:
        size = temporary.stat().st_size
        publish(temporary, self._root / final)
        return FileRecord(path=final, bytes=size, digest=digest)

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
