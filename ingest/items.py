"""One thing to ingest, before any of its bytes are read: who it is, and where its parts stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shards.schema import RejectReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where the bytes of one field stand.

    Args:
        field: Name of the field (`image`, `text`).
        uri: File that holds the bytes, relative to the source's root; empty for `inline` bytes.
        offset: Byte offset inside the file (a tar member), or -1 for the whole file.
        size: Number of bytes, as listed; a file that has changed since is rejected.
        modified_ns: Time of the file's last change, as listed; 0 where it means nothing.
        row: Row of a Parquet file whose cell holds the bytes, or -1.
        column: Column of that cell.
        inline: The bytes themselves, for a caption out of a manifest.
    """

    field: str
    uri: str = ""
    offset: int = -1
    size: int = -1
    modified_ns: int = 0
    row: int = -1
    column: str = ""
    inline: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """One item of a source.

    Args:
        identity: Names the item in its source, for ever: a path stem, a row number, a tar and key.
        parts: Its fields.
        label: Class name or number, if the source gives one.
        licence: Licence, if the source gives one.
        columns: Everything else the source says about it; stored as the `metadata` field.
        group: Items of one group are kept near each other by the plan, because they are cheap to read together.
        problem: Why the item can never be stored, when the listing alone shows it.
    """

    identity: str
    parts: tuple[Part, ...]
    label: str | None = None
    licence: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    problem: tuple[RejectReason, str] | None = None

    @property
    def key(self) -> str:
        """The sample's key: a readable slug and 16 hexadecimal characters of the identity's hash, at most 57 characters.

        It depends on the identity alone, so a sample keeps its key when items are added to the source.
        """
        slug = re.sub(r"[^a-z0-9]+", "_", self.identity.lower()).strip("_")[-40:].strip("_")
        digest = hashlib.sha256(self.identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return f"{slug}-{digest}" if slug else digest
