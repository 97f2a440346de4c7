"""Receipts: the commit of one shard. A shard exists when its receipt does, and never before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shards.errors import CorruptShardError, Damage, DatasetError
from shards.location import Root, require_folder, store_of
from shards.storage import canonical_json, create_if_absent

RECEIPTS = "receipts"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file that a receipt vouches for: its path below the dataset folder, size in bytes, and digest."""

    path: str
    bytes: int
    digest: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileRecord:
        """Read the record, refusing a path that would leave the dataset folder."""
        path = require_inside(str(data["path"]))
        return cls(path=path, bytes=int(data["bytes"]), digest=str(data["digest"]))


def require_inside(path: str) -> str:
    """Return a relative path as it is.

    Raises:
        DatasetError: It would leave the dataset folder.
    """
    pure = Path(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise DatasetError(
            f"The dataset names the file '{path}', which lies outside its dataset folder. Do not use it."
        )
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The commit of one shard: what it was planned from, how many samples it holds, and the hashes of its files.

    Args:
        shard: Number of the shard, from 0.
        plan_id: Identity of the plan that the shard was written from.
        split: The split that all its samples belong to; empty for a dataset without splits.
        samples: Samples stored.
        rejects: Items refused, by reason code.
        field_samples: Samples that hold each field.
        field_bytes: Encoded bytes of each field.
        licences: Samples by licence, where one is known.
        ignored_members: Members of an adopted tar that are no field, by extension.
        files: `tar`, `index` and `rejects`, each with its hash.
    """

    shard: int
    plan_id: str
    split: str
    samples: int
    rejects: Mapping[str, int]
    field_samples: Mapping[str, int]
    field_bytes: Mapping[str, int]
    licences: Mapping[str, int]
    ignored_members: Mapping[str, int]
    files: Mapping[str, FileRecord]

    def to_json(self) -> bytes:
        """Serialise the receipt; equal receipts give equal bytes."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """Read a receipt back."""
        content = json.loads(data)
        content["files"] = {name: FileRecord.from_json(record) for name, record in content["files"].items()}
        return cls(**content)


def receipt_path(root: Path, shard: int) -> Path:
    """Return where the receipt of `shard` stands; `root` is a dataset or a target folder."""
    return root / RECEIPTS / f"{shard:06d}.json"


def commit_receipt(root: Path, receipt: Receipt) -> Receipt:
    """Commit a shard and return the receipt that counts: this one, or that of the writer who came first."""
    if create_if_absent(root, receipt_path(root, receipt.shard), receipt.to_json()):
        return receipt
    return read_receipt(root, receipt.shard)


def read_receipt(root: Root, shard: int) -> Receipt:
    """Read the receipt of `shard`.

    Raises:
        DatasetError: There is none, or it cannot be understood.
        CorruptShardError: It cannot be had.
    """
    path = f"{RECEIPTS}/{shard:06d}.json"
    try:
        return Receipt.from_json(store_of(root).read(path))
    except CorruptShardError as error:
        if error.kind != Damage.MISSING:
            raise
        raise DatasetError(f"Shard {shard} of {root} has no receipt at {path}: it was never finished.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"The receipt {root}/{path} cannot be understood ({error}). Run `maskloom verify {root}`."
        ) from error


def committed_shards(root: Root) -> set[int]:
    """Return the numbers of all shards with a receipt.

    Raises:
        DatasetError: The dataset is not on this machine.
    """
    folder = require_folder(root, "listing receipts") / RECEIPTS
    if not folder.is_dir():
        return set()
    return {int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()}
