"""Where the files of a dataset stand: a folder on this machine here, elsewhere in `shards.remote`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn, Protocol

from shards.errors import CorruptShardError, Damage
from shards.index import ArrowTable

Extent = tuple[int, int]
"""A range of bytes of a file: the first one, and the one behind the last."""


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

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


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
        return ArrowTable(self._root / path)

    def open(self, path: str) -> FolderFile:
        """Open a file to read parts of it."""
        return FolderFile(self._root / path, path)


def _raise_unreadable(path: Path, name: str, error: OSError) -> NoReturn:
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    raise CorruptShardError(
        f"{path} cannot be read: {error.strerror}. Run `maskloom verify` on the dataset.",
        kind=Damage.MISSING if is_missing else Damage.PAYLOAD,
        shard=name,
    ) from error
