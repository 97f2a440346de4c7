"""What is written down about a stored target: its specification, the receipts of its shards, and the seal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from shards.receipt import FileRecord
from shards.storage import bytes_digest, canonical_json, short_digest

STORED_TYPES: Mapping[str, pa.DataType] = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
}
"""Element types that a target may be stored in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """Everything that decides the values of a target; its hash is part of the target's id.

    Args:
        teacher: Name of the teacher.
        teacher_settings: Its settings.
        weights_sha256: Digest of its weights, if it has any.
        preprocessing: How pixels become the teacher's input, in words.
        views: The named views, as JSON: policy, its parameters, count and seed.
        shape: Shape of one view's target, for example (196, 108).
        dtype: Element type on disk.
        software: Library versions that the values depend on.
    """

    teacher: str
    teacher_settings: Mapping[str, Any]
    weights_sha256: str | None
    preprocessing: str
    views: Mapping[str, Any]
    shape: tuple[int, ...]
    dtype: str
    software: Mapping[str, str]

    @property
    def target_id(self) -> str:
        """Name of the target's folder: teacher and hash of the whole specification."""
        return f"{self.teacher}-{short_digest(bytes_digest(canonical_json(asdict(self))))}"

    @property
    def num_views(self) -> int:
        """How many named views are stored."""
        return int(self.views["count"])

    @property
    def row_values(self) -> int:
        """Values in one view's target."""
        return int(np.prod(self.shape))

    @property
    def row_bytes(self) -> int:
        """Bytes that one sample takes, over all views."""
        return self.row_values * self.num_views * int(np.dtype(self.dtype).itemsize)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetSpec:
        """Read a specification back."""
        return cls(**{**data, "shape": tuple(data["shape"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReceipt:
    """The commit of one shard of a target, bound to the digest of the base shard it was computed from."""

    shard: int
    target_id: str
    base_digest: str
    samples: int
    file: FileRecord

    def to_json(self) -> bytes:
        """Serialise the receipt."""
        return canonical_json(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTarget:
    """The content of `target.json`: the specification, what is stored, and how far it is from a float32 recomputation."""

    target_id: str
    spec: TargetSpec
    dataset_id: str
    num_samples: int
    num_bytes: int
    parity: Mapping[str, float]
    receipts_digest: str = field(default="")

    def to_json(self) -> bytes:
        """Serialise the sealed target."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> SealedTarget:
        """Read `target.json` back."""
        content = json.loads(data)
        return cls(**{**content, "spec": TargetSpec.from_json(content["spec"])})
