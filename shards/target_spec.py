"""What is written down about a stored target: its specification, the receipts of its shards, and the seal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from shards.errors import SettingsError, did_you_mean
from shards.receipt import FileRecord
from shards.storage import bytes_digest, canonical_json, short_digest

STORED_TYPES: Mapping[str, pa.DataType] = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "int8": pa.int8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
}
"""Element types that a target may be stored in."""

SCALE_BYTES = 4
"""Bytes of the float32 scale that follows the int8 values of a token."""

CODINGS = "float16, float32, int8, pca:N or pca:N:int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How the values of a target are stored.

    Args:
        dtype: Element type on disk. With int8, each token is divided by a scale of its own, a float32 whose bytes follow
            those of its values.
        components: How many principal components of a token's values are stored in their place; None stores the values.

    Raises:
        SettingsError: There is no such type, or no component.
    """

    dtype: str
    components: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in STORED_TYPES:
            raise SettingsError(
                f"Targets are stored as {CODINGS}, token ids as uint16 or uint32; '{self.dtype}' was asked for."
                f"{did_you_mean(self.dtype, STORED_TYPES)}"
            )
        if self.components is not None and (self.components < 1 or self.holds_ids):
            raise SettingsError(
                f"{self.components} principal components as {self.dtype} were asked for; keep at least 1, as float16 or int8."
            )

    @property
    def holds_ids(self) -> bool:
        """Whether what is stored are the ids of tokens, which are exact."""
        return self.dtype in ("uint16", "uint32")

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape on disk of values of `shape`, whose last axis are the values of a token."""
        if self.holds_ids or not shape:
            return shape
        width = self.components or shape[-1]
        return (*shape[:-1], width + SCALE_BYTES if self.dtype == "int8" else width)

    def __str__(self) -> str:
        """Return the coding as it is typed."""
        if self.components is None:
            return self.dtype
        return f"pca:{self.components}" + ("" if self.dtype == "float16" else f":{self.dtype}")


def parse_coding(text: str) -> Coding:
    """Read a coding as it is typed: `float16`, `int8`, `pca:256`, `pca:256:int8`.

    Raises:
        SettingsError: It is none of these.
    """
    kind, *rest = text.split(":")
    if kind != "pca":
        return Coding(dtype=text)
    if not 1 <= len(rest) <= 2 or not rest[0].isdigit():
        raise SettingsError(f"'{text}' does not say how targets are stored; write {CODINGS}, as in pca:256.")
    return Coding(components=int(rest[0]), dtype=rest[1] if len(rest) == 2 else "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """Everything that decides the values of a target; its hash is part of the target's id.

    Args:
        teacher: Name of the teacher.
        teacher_settings: Its settings.
        weights_sha256: Digest of its weights, if it has any.
        preprocessing: How what is stored becomes the teacher's input, in words.
        views: The named views, as JSON: policy, its parameters, count and seed.
        shape: Shape of what the teacher says about one view, for example (196, 108).
        coding: How that is stored.
        software: Library versions that the values depend on.
        looks_at: What the teacher is shown: the `field`, and of clips the `frames` and the `tubelet`; or another `target`.
        vocabulary: How many ids there are, of a target of token ids.
        precision: Number format of the teacher's matrix products: fp32 or bf16.
    """

    teacher: str
    teacher_settings: Mapping[str, Any]
    weights_sha256: str | None
    preprocessing: str
    views: Mapping[str, Any]
    shape: tuple[int, ...]
    coding: Coding
    software: Mapping[str, str]
    looks_at: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"

    @property
    def target_id(self) -> str:
        """Name of the target's folder: teacher and hash of the whole specification."""
        return f"{self.teacher}-{short_digest(bytes_digest(canonical_json(asdict(self))))}"

    @property
    def num_views(self) -> int:
        """How many named views are stored."""
        return int(self.views["count"])

    @property
    def dtype(self) -> str:
        """Element type on disk."""
        return self.coding.dtype

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape on disk of one view's target."""
        return self.coding.stored_shape(self.shape)

    @property
    def row_values(self) -> int:
        """Stored values of one view's target."""
        return int(np.prod(self.stored_shape))

    @property
    def row_bytes(self) -> int:
        """Bytes that one sample takes, over all views."""
        return self.row_values * self.num_views * int(np.dtype(self.dtype).itemsize)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetSpec:
        """Read a specification back."""
        return cls(**{**data, "shape": tuple(data["shape"]), "coding": Coding(**data["coding"])})


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
    """The content of `target.json`: the specification, what is stored, and how far it is from a float32 recomputation.

    `num_blank` samples have nothing to show a teacher; their rows are zeros.
    `projection_sha256` is the digest of the file that principal components are turned into values with, if there is one.
    """

    target_id: str
    spec: TargetSpec
    dataset_id: str
    num_samples: int
    num_bytes: int
    parity: Mapping[str, float]
    num_blank: int = 0
    projection_sha256: str | None = None
    receipts_digest: str = field(default="")

    def to_json(self) -> bytes:
        """Serialise the sealed target."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> SealedTarget:
        """Read `target.json` back."""
        content = json.loads(data)
        return cls(**{**content, "spec": TargetSpec.from_json(content["spec"])})
