"""Where the files of a dataset stand: a folder on this machine here, elsewhere in `shards.remote`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

from shards.errors import CorruptShardError, Damage
from shards.index import ArrowTable
from shards.spans import Span

_KEPT_BLOCKS = 8192
"""Blocks that a shuffle goes through at a time, twice over."""

Work = Callable[[], object]


class StoredFile(Protocol):
    """One open file of a dataset."""

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only if the file has been cut off since.

        Raises:
            CorruptShardError: The bytes cannot be had.
        """
        ...

    def within(self, spans: Callable[[], Iterable[Span]]) -> StoredFile:
        """Return the same file for reading spans that are wanted together, sooner or later."""
        ...

    def fetches(self, spans: Iterable[Span]) -> Mapping[object, Work]:
        """Return, by name, what has to be done so that reading these spans does not wait; nothing for a file at hand."""
        ...

    def forget(self, start: int, stop: int) -> bool:
        """Drop a copy of a range that turned out damaged, and tell whether another one can be had."""
        ...


class Store(Protocol):
    """Reads the files of one dataset by their path in it, with forward slashes."""

    def read(self, path: str) -> bytes:
        """Return a small file.

        Raises:
            CorruptShardError: It is missing, or cannot be had.
        """
        ...

    def table(self, path: str) -> ArrowTable:
        """Open an Arrow file that is small enough to be had as a whole.

        Raises:
            CorruptShardError: It is missing, cannot be had, or is no Arrow file.
        """
        ...

    def open(self, path: str) -> StoredFile:
        """Open a file to read parts of it.

        Raises:
            CorruptShardError: It is missing, or cannot be had.
        """
        ...

    def blocks(self, path: str, size: int) -> ArrowTable:
        """Open an Arrow file of `size` bytes of which few blocks are wanted at a time.

        Raises:
            CorruptShardError: It is missing, has another size, cannot be had, or is no Arrow file.
        """
        ...

    def kept_blocks(self, block_bytes: int) -> int:
        """Return how many blocks of `blocks` tables, of so many bytes each, may be held at the same time."""
        ...

    def folders(self, path: str) -> list[str] | None:
        """Return the names of the folders in a folder, or None if they cannot be listed."""
        ...

    def ahead(self, work: Iterable[Work]) -> None:
        """Do what `fetches` said, several pieces at a time; where everything is at hand, `work` is not even looked at."""
        ...


class FolderFile:
    """A file of a local folder; closed when nothing refers to it any more."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            _raise_unreadable(path, name, error)
        self.size = os.fstat(self._descriptor).st_size

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only if the file has been cut off since."""
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            _raise_unreadable(self._path, self._name, error)

    def within(self, spans: Callable[[], Iterable[Span]]) -> FolderFile:
        """Return the file: any of its spans is at hand."""
        return self

    def fetches(self, spans: Iterable[Span]) -> Mapping[object, Work]:
        """Return nothing to do."""
        return {}

    def forget(self, start: int, stop: int) -> bool:
        """Tell that there is no other copy."""
        return False

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Bound here, because modules are taken apart before the last objects when a process ends.
        if getattr(self, "_descriptor", -1) >= 0:
            close(self._descriptor)


class Folder:
    """A dataset folder on this machine; nothing is ever copied."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """Return a small file."""
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            _raise_unreadable(self._root / path, path, error)

    def table(self, path: str) -> ArrowTable:
        """Open an Arrow file by memory map."""
        return ArrowTable(self._root / path, shard=path)

    def open(self, path: str) -> FolderFile:
        """Open a file to read parts of it."""
        return FolderFile(self._root / path, path)

    def blocks(self, path: str, size: int) -> ArrowTable:
        """Open an Arrow file by memory map."""
        file = self._root / path
        if not file.is_file() or file.stat().st_size != size:
            raise CorruptShardError(
                f"{file} is missing or has another size than its receipt says ({size}). Run `maskloom verify`.",
                kind=Damage.TRUNCATED if file.is_file() else Damage.MISSING,
                shard=path,
            )
        return ArrowTable(file, shard=path)

    def kept_blocks(self, block_bytes: int) -> int:
        """Return how many blocks are kept: they are views of the files, and take no room."""
        return _KEPT_BLOCKS

    def folders(self, path: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return sorted(found.name for found in (self._root / path).glob("*/"))

    def ahead(self, work: Iterable[Work]) -> None:
        """Do nothing: everything is at hand."""


def _raise_unreadable(path: Path, name: str, error: OSError) -> NoReturn:
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    raise CorruptShardError(
        f"{path} cannot be read: {error.strerror}. Run `maskloom verify` on the dataset.",
        kind=Damage.MISSING if is_missing else Damage.PAYLOAD,
        shard=name,
    ) from error
