"""Tar files: written so that equal samples give equal bytes, and read without trusting a single header."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import xxhash

from shards.errors import CorruptShardError
from shards.storage import sync

HEADER_BYTES = 512
"""A header stands right before the payload it announces, whatever else a writer put before the header."""
_RECORD = 512
_CHUNK = 1 << 20
_MEMBER_MODE = 0o644


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file inside a tar: its name, the byte offset of its payload, and its size in bytes."""

    name: str
    offset: int
    size: int


def _tarfile_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = _MEMBER_MODE
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
_TEMPLATE = bytearray(_tarfile_header("x", 0))
_TEMPLATE[_NAME] = bytes(100)
_TEMPLATE[_CHECKSUM] = b" " * 8


def _header(name: str, size: int) -> bytes:
    """Return the header that tarfile would write; short names, the rule, are filled into a ready one."""
    encoded = name.encode()
    if len(encoded) > 100 or size >= 8**11:
        return _tarfile_header(name, size)
    header = _TEMPLATE.copy()
    header[: len(encoded)] = encoded
    header[_SIZE] = b"%011o\0" % size
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def split_member_name(name: str) -> tuple[str, str]:
    """Return key and extension of a member: folder and base name up to its first dot, and what follows, in lower case."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem), extension.lower()


def header_flaw(data: bytes, key: str, size: int) -> str | None:
    """Return what is wrong with the header that `data` begins with, or None if nothing is.

    It has to be that of a member of the sample `key` with `size` bytes. Checked are its own checksum, the size, and the
    key in the name. Headers as maskloom writes them are compared with what they should be; others are parsed.
    """
    recorded = data[_CHECKSUM]
    # The low half of Adler-32 is one more than the sum of all bytes, and takes a tenth of the time of sum().
    total = (zlib.adler32(data[:HEADER_BYTES]) & 0xFFFF) - (zlib.adler32(recorded) & 0xFFFF) + 8 * ord(" ")
    is_sound = recorded == b"%06o\0 " % total and data[_SIZE] == b"%011o\0" % size
    return None if is_sound and data.startswith(f"{key}.".encode()) else _parsed_flaw(data[:HEADER_BYTES], key, size)


def _parsed_flaw(header: bytes, key: str, size: int) -> str | None:
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return str(error)
    if member.size != size and size < 8**11:  # a larger size stands in a header of its own
        return f"it announces {member.size} bytes instead of {size}"
    if split_member_name(member.name)[0] != key:
        return f"it is that of '{member.name}'"
    return None


class TarWriter:
    """Writes members one after the other with fixed times, owners and modes, hashing the file as it goes.

    Every member is a plain USTAR file (one 512-byte header, payload, zero padding), so any tar reader understands it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=1 << 20)
        self._hash = xxhash.xxh3_128()
        self.size = 0

    def add(self, name: str, data: bytes) -> int:
        """Append a member and return the byte offset of its payload."""
        self._write(_header(name, len(data)))
        offset = self.size
        self._write(data)
        self._write(bytes(-len(data) % _RECORD))
        return offset

    def finish(self) -> str:
        """Write the end of the archive, make it durable, and return its digest."""
        self._write(bytes(2 * _RECORD))
        self._file.close()
        sync(self._path)
        return f"xxh3_128:{self._hash.hexdigest()}"

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the file is thrown away, and what is buffered cannot be written: that must not hide the error.
        with suppress(OSError) if error is not None else nullcontext():
            self._file.close()


def iterate_members(path: Path) -> Iterator[TarMember | tarfile.TarInfo]:
    """Yield the members of a tar in order: a TarMember for a regular file, the bare header for anything else.

    Python's tarfile takes a damaged header in the middle for the end of the archive and says nothing; here nothing but
    zeros may stand behind the last member. A sparse member is no regular file: its bytes are not those of its payload.

    Raises:
        CorruptShardError: A header is damaged, or the file ends inside a member.
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, mode="r:") as archive:
            for info in archive:
                is_file = info.isreg() and not info.issparse()
                if is_file and info.offset_data + info.size > size:
                    raise CorruptShardError(
                        f"{path} is truncated: member '{info.name}' should end at byte "
                        f"{info.offset_data + info.size}, the file has {size}."
                    )
                yield TarMember(info.name, info.offset_data, info.size) if is_file else info
            end = archive.offset
    except tarfile.TarError as error:
        raise CorruptShardError(f"{path} is not a readable tar: {error}.") from error
    _require_end_marker(path, end, size)


def _require_end_marker(path: Path, end: int, size: int) -> None:
    with path.open("rb") as file:
        file.seek(min(end, size))
        if any(file.read(_RECORD)):
            raise CorruptShardError(
                f"{path} has a damaged header at byte {end}; {size - end} bytes behind it cannot be read."
            )
        while chunk := file.read(_CHUNK):
            if any(chunk):
                raise CorruptShardError(
                    f"{path} goes on behind its end marker at byte {end}: a header was overwritten with zeros, or two "
                    f"tars were joined; {size - end} bytes cannot be read."
                )
    if end > size:
        raise CorruptShardError(f"{path} is truncated: a member should end at byte {end}, the file has {size}.")
