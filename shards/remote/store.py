"""A dataset elsewhere, read like a folder: small files as a whole, tars and targets in ranges, all by way of the cache."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from shards.bounded import Bounded
from shards.errors import CorruptShardError
from shards.index import ArrowTable
from shards.remote.access import Access
from shards.remote.block_cache import Block, BlockCache
from shards.remote.requests import Range, WrongReplyError, ask
from shards.remote.transport import FileSystemTransport, HttpTransport, Transport
from shards.spans import Span, coalesce, covering

_UNKNOWN_SIZE = 1 << 62
_OPEN_BLOCKS = 128
_CHUNK = 1 << 22
"""Bytes of a stored target that are fetched at once."""
_KEPT_TARGET_BYTES = 1 << 28
_NAMED_DIGEST = re.compile(r".*-([0-9a-f]{12})\.arrow")


class RemoteStore:
    """The files of one remote dataset.

    Args:
        url: Where the dataset stands, without a slash at the end.
        access: How it is read.
        identity: What names the content of the dataset: copies of its files are shared by this name, wherever it stands.
    """

    def __init__(self, url: str, access: Access, identity: str) -> None:
        self._url = url
        self._access = access
        self._identity = identity
        self._transport: Transport = (
            HttpTransport(url) if url.startswith(("http://", "https://")) else FileSystemTransport(url)
        )
        self._cache = BlockCache(access.cache, access.cache_bytes)
        self._open: Bounded[tuple[str, Range], Block] = Bounded(_OPEN_BLOCKS)
        self._failures: Bounded[tuple[str, Range], tuple[float, CorruptShardError]] = Bounded(_OPEN_BLOCKS)
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    def read(self, path: str) -> bytes:
        """Return a small file, asked for anew each time."""
        return self._ask(path, None, self._fetching(path, None))

    def table(self, path: str) -> ArrowTable:
        """Open an Arrow file, fetched as a whole; a digest in its name has to be that of its content."""
        block = self.block(path, None, partial(_require_named_digest, path))
        content: Any = mmap.mmap(block.descriptor, block.size, prot=mmap.PROT_READ) if block.size else b""
        return ArrowTable(f"{self._url}/{path}", pa.BufferReader(content), shard=path)

    def blocks(self, path: str, size: int) -> ArrowTable:
        """Open an Arrow file of which blocks are fetched when they are looked at."""
        return ArrowTable(f"{self._url}/{path}", pa.PythonFile(_ChunkedFile(self, path, size), mode="r"), shard=path)

    def kept_blocks(self, block_bytes: int) -> int:
        """Return how many blocks of a stored target may be held open: they are copies in memory."""
        return max(16, _KEPT_TARGET_BYTES // max(block_bytes, 1))

    def open(self, path: str) -> RemoteFile:
        """Open a tar, of which ranges are fetched when they are read."""
        return RemoteFile(self, path)

    def folders(self, path: str) -> list[str] | None:
        """Return the names of the folders in a folder, or None if the server does not list."""
        return self._transport.folders(path)

    def ahead(self, work: Iterable[Callable[[], object]]) -> None:
        """Do work that fetches, several pieces at a time. Whoever needs what could not be fetched meets the error."""
        pieces = list(work)
        if len(pieces) > 1:
            list(self._pool().map(_unless_damaged, pieces))

    def block(self, path: str, wanted: Range, check: Callable[[bytes], None]) -> Block:
        """Return a file or a range of it by way of the cache.

        Args:
            path: The file.
            wanted: The range, or None for the whole file.
            check: Raises WrongReplyError if the bytes are not those that were stored.

        Raises:
            CorruptShardError: It cannot be had.
        """
        block = self._open.get((path, wanted))
        if block is None:
            self._require_no_recent_failure(path, wanted)
            request = self._fetching(path, wanted, check)
            try:
                block = self._cache.open(self._name(path, wanted), lambda: self._ask(path, wanted, request))
            except CorruptShardError as error:
                self._failures[path, wanted] = time.monotonic(), error
                raise
            self._open[path, wanted] = block
        return block

    def is_open(self, path: str, wanted: Range) -> bool:
        """Tell whether a file or a range of it is at hand."""
        return (path, wanted) in self._open

    def _require_no_recent_failure(self, path: str, wanted: Range) -> None:
        """Raise what was met a moment ago: many samples stand in a block, and each would wait as long again."""
        failed_at, error = self._failures.get((path, wanted), (0.0, None))
        if error is not None and time.monotonic() - failed_at < self._access.patience.longest_wait_s:
            raise error

    def forget(self, path: str, wanted: Range) -> None:
        """Drop the copy of a range, so that it is fetched again."""
        self._open.pop((path, wanted), None)
        self._cache.forget(self._name(path, wanted))

    def _name(self, path: str, wanted: Range) -> str:
        return hashlib.sha256(f"{self._identity}\n{path}\n{wanted}".encode()).hexdigest()[:32]

    def _fetching(
        self, path: str, wanted: Range, check: Callable[[bytes], None] = lambda _: None
    ) -> Callable[[], bytes]:
        def request() -> bytes:
            data = self._transport.fetch(path, wanted, self._access.patience.request_s)
            check(data)
            return data

        return request

    def _ask(self, path: str, wanted: Range, request: Callable[[], bytes]) -> bytes:
        return ask(request, url=f"{self._url}/{path}", path=path, wanted=wanted, patience=self._access.patience)

    def _pool(self) -> ThreadPoolExecutor:
        """Return the threads of this process: those of the one it was forked from do not live here."""
        if self._threads is None or self._threads[0] != os.getpid():
            self._threads = os.getpid(), ThreadPoolExecutor(self._access.connections, "maskloom-fetch")
        return self._threads[1]


@dataclass(frozen=True)
class RemoteFile:
    """A tar of a remote dataset, read in the extents that were chosen for a block of samples.

    Args:
        store: The dataset.
        path: The tar.
        extents: What is fetched at once; a range outside of them is fetched on its own.
    """

    store: RemoteStore
    path: str
    extents: tuple[Span, ...] = ()

    size = _UNKNOWN_SIZE

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`; a server that has fewer raises CorruptShardError."""
        extent = covering(self.extents, offset, offset + size)
        return self.store.block(self.path, extent, _accept).pread(size, offset - extent[0])

    def within(self, spans: Callable[[], Iterable[Span]]) -> RemoteFile:
        """Return the same tar for reading spans that belong together."""
        return RemoteFile(self.store, self.path, tuple(coalesce(spans())))

    def fetches(self, spans: Iterable[Span]) -> dict[object, Callable[[], object]]:
        """Return, by name, the work that makes spans quick to read."""
        extents = {covering(self.extents, *span) for span in spans}
        return {
            (self.path, extent): partial(self.store.block, self.path, extent, _accept)
            for extent in extents
            if not self.store.is_open(self.path, extent)
        }

    def forget(self, start: int, stop: int) -> bool:
        """Drop the copy of the extent that a range lies in, and tell that another one can be had."""
        self.store.forget(self.path, covering(self.extents, start, stop))
        return True


class _ChunkedFile(io.RawIOBase):
    """A remote file as Arrow reads it: by chunks of 4 MiB from multiples of 4 MiB."""

    def __init__(self, store: RemoteStore, path: str, size: int) -> None:
        self._store = store
        self._path = path
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        parts = []
        while self._position < end:
            start = self._position // _CHUNK * _CHUNK
            chunk = start, min(start + _CHUNK, self._size)
            part = self._store.block(self._path, chunk, _accept).pread(end - self._position, self._position - start)
            parts.append(part)
            self._position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _accept(data: bytes) -> None:
    """Accept a range, whose members have digests of their own."""


def _require_named_digest(path: str, data: bytes) -> None:
    named = _NAMED_DIGEST.fullmatch(path)
    if named is not None and hashlib.sha256(data).hexdigest()[:12] != named[1]:
        raise WrongReplyError(f"its {len(data)} bytes are not those that its name stands for")


def _unless_damaged(work: Callable[[], object]) -> None:
    try:
        work()
    except CorruptShardError:
        return  # met again, and reported, by whoever needs it
