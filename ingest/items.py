"""One thing to ingest, before any of its bytes are read: who it is, and where its parts stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shards.schema import RejectReason

RAW_KINDS = ("image", "video", "audio", "points", "raster", "ids", "text", "metadata")
"""What raw bytes can be. A `video` may bring sound; `ids` are rasters whose numbers are names and never mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where the raw bytes of one field stand.

    Args:
        field: Name of the field (`image`, `left`, `depth`).
        kind: What the bytes are, one of RAW_KINDS.
        uri: File that holds the bytes, relative to the source's root, or a URL; empty for `inline` bytes.
        offset: Byte offset inside the file (a tar member), or -1 for the whole file.
        size: Number of bytes, as listed; a file that has changed since is rejected. -1 where a listing does not know.
        modified_ns: Time of the file's last change, as listed; 0 where it means nothing.
        member: Name inside the archive `uri`, for members that cannot be read by offset.
        row: Row of a table or of an array whose entry is the bytes, or -1.
        column: Column of that table, or name of that array.
        inline: The bytes themselves, for a caption out of a manifest.
        start_s: Where the wanted piece of a video or a sound begins, in seconds; None for its beginning.
        end_s: Where it ends; None for its end.
    """

    field: str
    kind: str
    uri: str = ""
    offset: int = -1
    size: int = -1
    modified_ns: int = 0
    member: str = ""
    row: int = -1
    column: str = ""
    inline: bytes | None = None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawItem:
    """One item of a source.

    Args:
        identity: Names the item in its source, for ever: a path stem, a row number, a tar and key.
        parts: Its fields.
        label: Class name or number, if the source gives one.
        licence: Licence, if the source gives one.
        columns: Everything else the source says about it; stored as the `metadata` field.
        near: Items that share this are kept near each other by the plan, because they are cheap to read together.
        group: What the item belongs to with others (a video, a drive, a speaker); empty for an item of its own.
        place: Where the item stands in the order of its group (clips, sweeps), or -1.
        split: The split that it was dealt to; empty without splits.
        problem: Why the item can never be stored, when the listing alone shows it.
    """

    identity: str
    parts: tuple[Part, ...]
    label: str | None = None
    licence: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    near: str = ""
    group: str = ""
    place: int = -1
    split: str = ""
    problem: tuple[RejectReason, str] | None = None

    @property
    def key(self) -> str:
        """The sample's key: a readable slug and 16 hexadecimal characters of the identity's hash, at most 57 characters.

        It depends on the identity alone, so a sample keeps its key when items are added to the source.
        """
        slug = re.sub(r"[^a-z0-9]+", "_", self.identity.lower()).strip("_")[-40:].strip("_")
        digest = hashlib.sha256(self.identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return f"{slug}-{digest}" if slug else digest
