"""Fetches the raw bytes of an item's parts, within limits, and notices what has changed since it was listed."""

from __future__ import annotations

import errno
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
from shards.errors import SourceError
from shards.schema import RejectReason

_MACHINE_FAULTS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ENODEV,
        errno.EHOSTDOWN,
    }
)
"""What the operating system says when it cannot read anything: no file is at fault, and none may be rejected."""


class RawBytes:
    """Reads the parts of one shard's items.

    Cells of Parquet files are read up front, each row group once; everything else when asked for.

    Args:
        root: Folder that all URIs are relative to.
        planned: The shard's items.
        limits: Most bytes of a part.

    Raises:
        SourceError: The source cannot be read at all; the same in `read`.
    """

    def __init__(self, root: Path, planned: Iterable[PlannedItem], limits: Limits) -> None:
        self._root = root
        self._require_root()
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

    def _require_root(self) -> None:
        if not self._root.is_dir():
            raise SourceError(
                f"The source folder {self._root} is not there. Mount it, or name where it is now, and run the same command: "
                "nothing was rejected for it."
            )

    def _require_readable(self, error: OSError) -> None:
        self._require_root()
        if error.errno in _MACHINE_FAULTS:
            raise SourceError(
                f"The source {self._root} cannot be read at present: {error.strerror}. Nothing was rejected for it; run the "
                "same command again when it can."
            ) from error

    def _column(self, uri: str, column: str, modified_ns: int, rows: list[int]) -> dict[int, bytes | None]:
        """Return the cells of a table, or none if it is not the table that was listed."""
        path = self._root / uri
        try:
            return read_cells(path, column, rows) if path.stat().st_mtime_ns == modified_ns else {}
        except OSError as error:
            self._require_readable(error)
            return {}
        except (pa.ArrowException, KeyError):
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
            self._require_root()
            raise Rejection(RejectReason.MISSING_FILE, f"{part.uri} was listed but is gone") from None
        except OSError as error:
            self._require_readable(error)
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri}: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri} is no regular file")
            if status.st_mtime_ns != part.modified_ns:
                raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} has changed since it was listed")
            data = os.pread(descriptor, part.size + (part.offset < 0), max(part.offset, 0))
        except OSError as error:
            self._require_readable(error)
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        if len(data) != part.size:
            raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} had {part.size} bytes when listed, now {len(data)}")
        return data
