"""The raw bytes of one part of an item, read when a modality asks for them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """One part of an item, before it is decoded.

    Args:
        name: Name of the file, member or cell, for people and for formats that only their extension gives away.
        size: Bytes in all.
        opener: Opens the bytes as a seekable binary file. It may be called several times; every call starts at byte 0.
    """

    name: str
    size: int
    opener: Callable[[], BinaryIO]

    @classmethod
    def of(cls, data: bytes, *, name: str) -> Raw:
        """Return raw input that is in memory already."""
        return cls(name=name, size=len(data), opener=lambda: io.BytesIO(data))

    @property
    def extension(self) -> str:
        """What follows the last dot of the name, in small letters; empty without one."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    def open(self) -> BinaryIO:
        """Open the bytes as a seekable binary file; the caller closes it."""
        return self.opener()

    def read(self) -> bytes:
        """Return all bytes."""
        with self.open() as file:
            return file.read()

    def sha256(self) -> bytes:
        """Return the SHA-256 of all bytes: the identity of raw input, before any change made at ingest."""
        state = hashlib.sha256()
        with self.open() as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
        return state.digest()
