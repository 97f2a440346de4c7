"""Writes one shard: samples go into a tar, its index and its rejects, and become real with the receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import xxhash

from shards.index import absent_member
from shards.receipt import FileRecord, Receipt
from shards.sample import Provenance, Sample
from shards.schema import Fields, RejectReason, kind_spec, member_extension
from shards.shard_commit import ShardRecord, commit_shard
from shards.storage import publish, short_digest, storage_errors, temporary_path
from shards.tar import TarWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the index is told of a field besides where it stands.

    Args:
        extension: Ending of its tar members, one of those of its kind.
        sha256: Digest of the raw input, before any change made at ingest.
    """

    extension: str
    sha256: bytes


class ShardWriter:
    """Collects samples and rejects of one shard in temporary files, then publishes all and commits the receipt.

    Until `commit` returns, readers see nothing; a killed writer leaves only temporary files or unreferenced payloads.

    Args:
        root: Dataset folder.
        shard: Number of the shard.
        plan_id: Plan that the shard is written from.
        fields: Fields that the dataset declares, with their kinds.
        split: The split that the shard belongs to; empty for a dataset without splits.
    """

    def __init__(self, root: Path, *, shard: int, plan_id: str, fields: Fields, split: str = "") -> None:
        self._root = root
        self._fields = fields
        self._record = ShardRecord(shard=shard, plan_id=plan_id, fields=fields, split=split)
        with storage_errors(root):
            self._path = temporary_path(root, f"{shard:06d}.tar")
            self._tar = TarWriter(self._path)

    def add(self, sample: Sample, members: Mapping[str, Member], provenance: Provenance) -> None:
        """Append a sample.

        Args:
            sample: Encoded fields, frames and facts.
            members: Ending and raw digest of every field of the sample.
            provenance: Where it came from.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        row: dict[str, Any] = {"key": sample.key} | provenance.columns
        for name, kind in self._fields.items():
            elements = self._elements(sample, name)
            if elements is None:
                row |= absent_member(name, kind)
                continue
            with storage_errors(self._path):
                row |= self._add_field(sample.key, name, kind, elements, members[name])
        self._record.rows.append(dict(sample.facts) | row)

    @staticmethod
    def _elements(sample: Sample, name: str) -> tuple[bytes, ...] | None:
        if name in sample.frames:
            return sample.frames[name]
        return (sample.fields[name],) if name in sample.fields else None

    def _add_field(self, key: str, name: str, kind: str, elements: tuple[bytes, ...], member: Member) -> dict[str, Any]:
        """Append the members of a field, side by side, and return its index columns.

        The span of a sequence reaches from its first payload to the end of its last, with the tar headers in between; the
        digest is that of the payloads alone, one after the other.
        """
        is_sequence = kind_spec(kind).is_sequence
        offsets, state = [], xxhash.xxh3_64()
        for number, data in enumerate(elements):
            extension = member_extension(name, kind, member.extension, number=number if is_sequence else None)
            offsets.append(self._tar.add(f"{key}.{extension}", data))
            state.update(data)
        columns: dict[str, Any] = {
            f"{name}.offset": offsets[0],
            f"{name}.size": offsets[-1] - offsets[0] + len(elements[-1]),
            f"{name}.xxh3": state.intdigest(),
            f"{name}.sha256": member.sha256,
        }
        if is_sequence:
            columns[f"{name}.starts"] = [offset - offsets[0] for offset in offsets]
            columns[f"{name}.sizes"] = [len(data) for data in elements]
        return columns

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
