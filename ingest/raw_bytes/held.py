"""Bytes that come as a stream and have to be searched: held in memory, or in a temporary file when they are many."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from ingest.raw import Raw
from ingest.raw_bytes.local_files import FileRange
from ingest.rejection import Rejection
from shards.errors import SourceError
from shards.schema import RejectReason

MEMORY_BYTES = 16 << 20
"""Raw input up to this size is held in memory."""


class Holder:
    """Takes a stream piece by piece, within a limit.

    Args:
        name: Name of what is held, for people and for formats that only their extension gives away.
        limit: Most bytes; whatever a header said, no more are taken.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._size = 0
        self._memory = io.BytesIO()
        self._file: _TemporaryFile | None = None

    def write(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            Rejection: There are more bytes than the limit.
            SourceError: The folder for temporary files is full.
        """
        self._size += len(data)
        if self._size > self._limit:
            raise Rejection(
                RejectReason.TOO_MANY_BYTES, f"{self._name}: more than {self._limit} bytes, which is the limit"
            )
        if self._file is None and self._size > MEMORY_BYTES:
            self._file = _TemporaryFile()
            self._file.write(self._memory.getvalue())
            self._memory = io.BytesIO()
        if self._file is None:
            self._memory.write(data)
        else:
            self._file.write(data)

    def raw(self) -> Raw:
        """Return what was taken."""
        if self._file is None:
            return Raw.of(self._memory.getvalue(), name=self._name)
        file, size, name = self._file, self._size, self._name
        return Raw(name=name, size=size, opener=lambda: file.open(size, name))


class _TemporaryFile:
    """A file without a name, gone when the last reference to it is; what it is called never comes from data."""

    def __init__(self) -> None:
        self._descriptor, path = tempfile.mkstemp(prefix="maskloom-")
        Path(path).unlink()
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise SourceError(
                f"A large file cannot be held in {tempfile.gettempdir()}: {error.strerror}. Make room there, or set TMPDIR to "
                "a folder that has some, and run the same command again: nothing was rejected for it."
            ) from error

    def open(self, size: int, name: str) -> BinaryIO:
        return io.BufferedReader(FileRange(os.dup(self._descriptor), 0, size, name=name, faults=nullcontext))
