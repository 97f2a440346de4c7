"""Blocks of remote files on this machine's disk: fetched once for all processes, bounded in bytes, never half written.

    CACHE/<user id>/blocks/<2>/<32>    one block: its bytes, then their XXH3 (128 bits) and a mark
    CACHE/<user id>/locks/<3>          one lock for all blocks with this beginning; never deleted
    CACHE/<user id>/usage              bytes that the blocks take; its lock guards the bound

A block is named by the digest of what it is a copy of, so any number of jobs share it. It is written beside its place and
renamed. An open block stays readable when it is deleted, because its file is open. Only files named like blocks are ever
deleted, and only in this folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash

from shards.bounded import Bounded
from shards.storage import make_folder, storage_errors

_MARK = b"maskloom block 1"
_TRAILER_BYTES = 16 + len(_MARK)
_CHUNK = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{32}\.part)?")
_STALE_S = 3600
"""Age at which an unfinished file belongs to nobody any more."""
_KEPT_SHARE = 0.9
"""How full the cache is after room was made: looking through it costs time, so it is done seldom."""
_VERIFIED = 1 << 16
_DIGITS = 20


class Block:
    """An open block; its file is closed when nothing refers to it any more."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end of the block."""
        return os.pread(self.descriptor, min(size, self.size - offset), offset)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Bound here, because modules are taken apart before the last objects when a process ends.
        close(self.descriptor)


@dataclass(frozen=True, slots=True)
class _Used:
    """A file of the cache: when it was last used, how large it is, and where it stands."""

    used_ns: int
    size: int
    path: Path


class BlockCache:
    """The blocks of one user in one cache folder.

    Args:
        folder: The cache folder.
        limit: Most bytes that blocks may take. A block that is larger is handed out, but not kept.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder / str(os.getuid())
        self._limit = limit
        self._verified: Bounded[str, tuple[int, int]] = Bounded(_VERIFIED)

    def open(self, name: str, fetch: Callable[[], bytes]) -> Block:
        """Return a block, fetched unless it is there and undamaged; of several callers at once, one fetches it.

        Args:
            name: 32 hexadecimal characters: a digest of what the block is a copy of.
            fetch: Returns its bytes; what it raises is passed on.

        Raises:
            StorageError: The cache cannot be written.
        """
        block = self._existing(name)
        if block is not None:
            return block
        with self._locked(Path("locks") / name[:3]):
            return self._existing(name) or self._store(name, fetch())

    def forget(self, name: str) -> None:
        """Delete a block, if it is there."""
        with storage_errors(self._folder):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / "blocks" / name[:2] / name

    def _existing(self, name: str) -> Block | None:
        path = self._path(name)
        with storage_errors(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        status = os.fstat(descriptor)
        block = Block(descriptor, max(status.st_size - _TRAILER_BYTES, 0))
        identity = status.st_ino, status.st_size
        if self._verified.get(name) != identity:
            if not _is_whole(block):
                return None
            self._verified[name] = identity
        os.utime(descriptor)
        return block

    def _store(self, name: str, data: bytes) -> Block:
        size = len(data) + _TRAILER_BYTES
        with storage_errors(self._folder):
            if size > self._limit:
                return _unkept(make_folder(self._folder), data)
            path = self._path(name)
            temporary = make_folder(path.parent) / f"{name}.{uuid.uuid4().hex}.part"
            self._reserve(size)
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            block = Block(descriptor, len(data))
            try:
                _write(descriptor, data)
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)
        self._verified[name] = os.fstat(descriptor).st_ino, size
        return block

    def _reserve(self, size: int) -> None:
        """Count `size` more bytes before they are written, and make room for them if there would be too many."""
        with self._locked(Path("usage")) as descriptor:
            recorded = os.pread(descriptor, _DIGITS, 0)
            used = int(recorded) + size if recorded.isdigit() else self._limit + 1  # nobody knows: look
            if used > self._limit:
                used = self._make_room(size) + size
            os.pwrite(descriptor, b"%0*d" % (_DIGITS, used), 0)

    def _make_room(self, size: int) -> int:
        """Delete the least recently used blocks until `size` more bytes fit, and return how many bytes are left."""
        files = sorted(self._files(), key=lambda file: file.used_ns)
        used = sum(file.size for file in files)
        allowed = min(int(self._limit * _KEPT_SHARE), self._limit - size)
        for file in files:
            if used <= allowed:
                break
            if file.path.suffix != ".part" or time.time_ns() - file.used_ns > _STALE_S * 10**9:
                file.path.unlink(missing_ok=True)
                used -= file.size
        return used

    def _files(self) -> Iterator[_Used]:
        for path in (self._folder / "blocks").glob("*/*"):
            if _NAME.fullmatch(path.name):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # deleted or renamed by another process in the meantime
                yield _Used(status.st_mtime_ns, status.st_size, path)

    @contextmanager
    def _locked(self, name: Path) -> Iterator[int]:
        """Hold the lock of a file, which is made if it is missing, against all threads and processes."""
        path = self._folder / name
        with storage_errors(path):
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _is_whole(block: Block) -> bool:
    """Tell whether the trailer of a block is that of its bytes."""
    state = xxhash.xxh3_128()
    for start in range(0, block.size, _CHUNK):
        state.update(block.pread(_CHUNK, start))
    return os.pread(block.descriptor, _TRAILER_BYTES + 1, block.size) == state.digest() + _MARK


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
        file.write(xxhash.xxh3_128_digest(data) + _MARK)


def _unkept(folder: Path, data: bytes) -> Block:
    """Return a block without a name, whose room is free again as soon as it is closed."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(data)
        file.flush()
        return Block(os.dup(file.fileno()), len(data))
