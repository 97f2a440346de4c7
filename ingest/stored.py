"""What every modality makes of raw input: fields, encoded as they go into the shard, with the facts the index keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredField:
    """One field of a sample, ready to be written.

    Args:
        name: Name of the field.
        kind: One of `shards.schema.KINDS`.
        data: The encoded member, or the encoded elements of a sequence.
        extension: Ending of the member, one of those of the kind.
        facts: The kind's facts by their bare names (`width`, not `image.width`); list-valued ones as lists.
    """

    name: str
    kind: str
    data: bytes | tuple[bytes, ...]
    extension: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedItem:
    """A whole item, ready to be written: its fields, and the SHA-256 of the raw input of each, by name."""

    fields: tuple[StoredField, ...]
    sha256: Mapping[str, bytes]
