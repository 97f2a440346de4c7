"""Fetches the raw bytes of an item's parts, within limits, and notices what has changed since it was listed."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from ingest.items import Part
from ingest.plan import PlannedItem
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.sources.table import read_cells
from shards.schema import RejectReason


class RawBytes:
    """Reads the parts of one shard's items.

    Cells of Parquet files are read up front, each row group once; everything else when asked for.

    Args:
        root: Folder that all URIs are relative to.
        planned: The shard's items.
        limits: Most bytes of a part.
    """

    def __init__(self, root: Path, planned: Iterable[PlannedItem], limits: Limits) -> None:
        self._root = root
        self._max_bytes = {
            "image": limits.image_bytes,
            "text": limits.text_bytes,
            "metadata": limits.metadata_bytes,
        }
        rows: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        for entry in planned:
            for part in entry.item.parts:
                if part.row >= 0 and part.size <= self._max_bytes[part.field]:
                    rows[part.uri, part.column, part.modified_ns].append(part.row)
        self._cells = {place: self._column(*place, wanted) for place, wanted in rows.items()}

    def read(self, part: Part) -> bytes:
        """Return the raw bytes of a part.

        Raises:
            Rejection: Too many bytes, missing, unreadable, or changed since it was listed.
        """
        size = len(part.inline) if part.inline is not None else part.size
        limit = self._max_bytes[part.field]
        if size > limit:
            raise Rejection(RejectReason.TOO_MANY_BYTES, f"{part.field}: {size} bytes, the limit is {limit}")
        if part.inline is not None:
            return part.inline
        if part.row >= 0:
            return self._cell(part)
        return self._file(part)

    def _column(self, uri: str, column: str, modified_ns: int, rows: list[int]) -> dict[int, bytes | None]:
        """Return the cells of a table, or none if it is not the table that was listed."""
        path = self._root / uri
        try:
            return read_cells(path, column, rows) if path.stat().st_mtime_ns == modified_ns else {}
        except (OSError, pa.ArrowException, KeyError):
            return {}

    def _cell(self, part: Part) -> bytes:
        value = self._cells[part.uri, part.column, part.modified_ns].get(part.row)
        if value is None and not (self._root / part.uri).exists():
            raise Rejection(RejectReason.MISSING_FILE, f"{part.uri} was listed but is gone")
        if value is None or len(value) != part.size:
            raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} has changed since row {part.row} was listed")
        return value

    def _file(self, part: Part) -> bytes:
        try:
            descriptor = os.open(self._root / part.uri, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Rejection(RejectReason.MISSING_FILE, f"{part.uri} was listed but is gone") from None
        except OSError as error:
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri}: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri} is no regular file")
            if status.st_mtime_ns != part.modified_ns:
                raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} has changed since it was listed")
            data = os.pread(descriptor, part.size + (part.offset < 0), max(part.offset, 0))
        except OSError as error:
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        if len(data) != part.size:
            raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} had {part.size} bytes when listed, now {len(data)}")
        return data
