"""Gives the raw bytes of an item's parts, within limits, wherever they stand, and notices what has changed meanwhile."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from ingest.items import Part
from ingest.plan import PlannedItem
from ingest.raw import Raw
from ingest.raw_bytes.array_rows import read_row_files
from ingest.raw_bytes.array_rows import rows_that_fit as array_rows_that_fit
from ingest.raw_bytes.cells import read_cells, rows_that_fit
from ingest.raw_bytes.fetch import Fetched, fetch_all
from ingest.raw_bytes.held import MEMORY_BYTES
from ingest.raw_bytes.local_files import LocalFiles
from ingest.raw_bytes.object_stores import fetch_objects
from ingest.raw_bytes.windows import Windows
from ingest.raw_bytes.zip_members import ZipMembers
from ingest.rejection import Rejection
from ingest.settings import FetchSettings, Limits
from ingest.sources.addresses import WEB, is_address, printable_uri, scheme_of
from shards.errors import MaskloomError, SourceError
from shards.schema import RejectReason
from shards.storage import printable

_AHEAD = 64
_AHEAD_BYTES = 4 << 30
_ENOUGH_TO_JUDGE = 16

_Column = tuple[str, str, str, str, int]
_Rows = Mapping[int, bytes | int | Rejection]


class RawBytes:
    """Opens the parts of one shard's items.

    What is only cheap to read together (cells of Parquet files, rows of arrays, addresses) is loaded a window at a time;
    everything else when asked for. In memory are held: the windows of cells and rows, 256 MiB of each column; and files and
    members of archives up to 16 MiB, of which a window of addresses has up to 64. Larger ones stay on disk: a window of
    addresses takes at most 4 GiB of the folder for temporary files, or one file that is larger.

    Args:
        root: Folder that all URIs are relative to.
        planned: The shard's items, in the order in which they will be asked for.
        limits: Most bytes of a part, by kind.
        fetch: How addresses are fetched.

    Raises:
        SourceError: The source cannot be read at all; the same in `raw`, and while what it gives is read.
    """

    def __init__(
        self, root: Path, planned: Iterable[PlannedItem], limits: Limits, fetch: FetchSettings | None = None
    ) -> None:
        self._files = LocalFiles(root)
        self._files.require_root()
        self._zips = ZipMembers(self._files)
        self._limits = limits
        self._fetch_settings = fetch or FetchSettings()
        self._connected = False
        self._unconnected = 0
        parts = [part for entry in planned if entry.item.problem is None for part in entry.item.parts]
        self._rows = {column: self._row_windows(column, wanted) for column, wanted in _rows_by_column(parts).items()}
        self._url_limits: dict[str, int] = {}
        for part in parts:
            if part.row < 0 and is_address(part.uri):
                self._url_limits[part.uri] = max(self._url_limits.get(part.uri, 0), limits.bytes_of(part.kind))
        self._urls = {limit: self._url_windows(limit) for limit in sorted(set(self._url_limits.values()))}

    def prepare(self, parts: Iterable[Part]) -> None:
        """Load what `raw` will need for the parts of one item and can only be loaded together with that of other items.

        What is wrong with a part is kept, and raised by `raw`. Parts of items that have a problem are passed over.
        """
        parts = list(parts)
        for column, rows in _rows_by_column(parts).items():
            if column in self._rows:
                self._rows[column].prepare(rows)
        for windows in self._urls.values():
            windows.prepare(part.uri for part in parts)
        for part in parts:
            if _is_zip_member(part):
                self._zips.prepare(part)

    def raw(self, part: Part) -> Raw:
        """Return the raw bytes of a part, to be opened as often as needed.

        Raises:
            Rejection: Too many bytes, missing, unreadable, forbidden, or changed since it was listed.
        """
        limit = self._limits.bytes_of(part.kind)
        size = len(part.inline) if part.inline is not None else part.size
        if size > limit:
            raise Rejection(RejectReason.TOO_MANY_BYTES, f"{part.field}: {size} bytes, the limit is {limit}")
        if part.inline is not None:
            return Raw.of(part.inline, name=part.field)
        if part.row >= 0:
            return self._row(part, limit)
        if is_address(part.uri):
            return self._fetched(part)
        if _is_zip_member(part):
            return self._zips.open(part, limit)
        return self._file(part)

    def read(self, part: Part) -> bytes:
        """Return the raw bytes of a part at once.

        Raises:
            Rejection: As `raw`.
        """
        return self.raw(part).read()

    def _file(self, part: Part) -> Raw:
        """Return a file, or the range of a tar that is a member: small ones at once, so that they cannot change."""
        name = printable(f"{part.uri}#{part.member}" if part.member else part.uri)
        open_range = partial(self._files.range, part, max(part.offset, 0), part.size)
        if part.size > MEMORY_BYTES:
            open_range().close()
            return Raw(name=name, size=part.size, opener=lambda: io.BufferedReader(open_range()))
        with open_range() as file:
            return Raw.of(file.readall(), name=name)

    def _row_windows(self, column: _Column, rows: Sequence[int]) -> Windows[int, bytes | int | Rejection]:
        uri, member, name, kind, modified_ns = column
        path = self._files.path(uri)
        try:
            if path.stat().st_mtime_ns != modified_ns:
                return Windows(rows, _nothing, length=len(rows))
            if _is_parquet(uri):
                read: Callable[[Sequence[int]], _Rows] = partial(
                    read_cells, path, name, limit=self._limits.bytes_of(kind)
                )
                length = rows_that_fit(path, name)
            else:
                read = partial(read_row_files, path, member, kind=kind)
                length = array_rows_that_fit(path, member)
        except (MemoryError, MaskloomError):  # Arrow's MemoryError is an ArrowException as well
            raise
        except (OSError, pa.ArrowException, ValueError) as error:
            return Windows(rows, partial(self._unreadable, uri, error), length=len(rows))
        return Windows(rows, partial(self._read_rows, uri, read), length=length)

    def _read_rows(self, uri: str, read: Callable[[Sequence[int]], _Rows], rows: Sequence[int]) -> _Rows:
        try:
            return read(rows)
        except (MemoryError, MaskloomError):
            raise
        except Exception as error:
            # Libraries fail on hostile bytes in ways that nobody lists; it costs the rows, not the shard.
            return self._unreadable(uri, error, rows)

    def _unreadable(self, uri: str, error: Exception, rows: Sequence[int]) -> _Rows:
        """Return the rejection of every row of a file that cannot be read, unless the machine is at fault."""
        try:
            with self._files.faults(uri):
                if isinstance(error, OSError):
                    raise error
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{uri} is damaged: {type(error).__name__}: {error}")
        except Rejection as rejection:
            return dict.fromkeys(rows, rejection)

    def _row(self, part: Part, limit: int) -> Raw:
        value = self._rows[_column_of(part)].get(part.row)
        if isinstance(value, Rejection):
            raise value
        if value is None and not self._files.path(part.uri).exists():
            raise Rejection(RejectReason.MISSING_FILE, f"{printable(part.uri)} was listed but is gone")
        if value is None:
            detail = f"{printable(part.uri)} has changed since row {part.row} was listed"
            raise Rejection(RejectReason.CHANGED_FILE, detail)
        if isinstance(value, int) or len(value) > limit:
            size = value if isinstance(value, int) else len(value)
            raise Rejection(RejectReason.TOO_MANY_BYTES, f"{part.field}: {size} bytes, the limit is {limit}")
        ending = ("png" if part.kind == "image" else "npy") if not _is_parquet(part.uri) else ""
        called = part.member if _is_parquet(part.uri) else f"{part.column}.{ending}"
        return Raw.of(value, name=printable(f"{part.uri}#{part.row}/{called or part.column}"))

    def _fetched(self, part: Part) -> Raw:
        fetched = self._urls[self._url_limits[part.uri]].get(part.uri)
        if fetched is None:
            raise Rejection(RejectReason.FETCH_FAILED, f"{printable_uri(part.uri)} was never fetched")
        if isinstance(fetched.outcome, Rejection):
            raise fetched.outcome
        limit = self._limits.bytes_of(part.kind)
        if fetched.outcome.size > limit:
            detail = f"{part.field}: {fetched.outcome.size} bytes, the limit is {limit}"
            raise Rejection(RejectReason.TOO_MANY_BYTES, detail)
        if part.size not in (-1, fetched.outcome.size):
            detail = f"{printable_uri(part.uri)} had {part.size} bytes when listed, now {fetched.outcome.size}"
            raise Rejection(RejectReason.CHANGED_FILE, detail)
        return fetched.outcome

    def _url_windows(self, limit: int) -> Windows[str, Fetched]:
        """Return the addresses of files up to `limit` bytes: the larger they may be, the fewer are fetched ahead."""
        wanted = [url for url, its_limit in self._url_limits.items() if its_limit == limit]
        return Windows(wanted, self._fetch, length=max(1, min(_AHEAD, _AHEAD_BYTES // max(limit, 1))))

    def _fetch(self, urls: Sequence[str]) -> dict[str, Fetched]:
        limits = self._url_limits
        web = [url for url in urls if scheme_of(url) in WEB]
        found = fetch_all(web, limits, self._fetch_settings) if web else {}
        found |= fetch_objects([url for url in urls if url not in found], limits) if len(found) < len(urls) else {}
        self._connected = self._connected or any(fetched.connected for fetched in found.values())
        self._unconnected += len(found)
        if not self._connected and self._unconnected >= _ENOUGH_TO_JUDGE:
            raise SourceError(
                f"None of {self._unconnected} addresses could be connected to, {printable_uri(urls[0])} among them: the "
                "network seems to be down. Nothing was rejected for it; run the same command again when it is up."
            )
        return found


def _rows_by_column(parts: Iterable[Part]) -> dict[_Column, list[int]]:
    rows: defaultdict[_Column, list[int]] = defaultdict(list)
    for part in parts:
        if part.row >= 0:
            rows[_column_of(part)].append(part.row)
    return rows


def _column_of(part: Part) -> _Column:
    member = "" if _is_parquet(part.uri) else part.member
    return part.uri, member, part.column, part.kind, part.modified_ns


def _is_parquet(uri: str) -> bool:
    return uri.lower().endswith(".parquet")


def _is_zip_member(part: Part) -> bool:
    return part.row < 0 and bool(part.member) and part.uri.lower().endswith(".zip")


def _nothing(_: Sequence[int]) -> _Rows:
    return {}
