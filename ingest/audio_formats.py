"""What the headers of sound files promise, for a decoder that does not miss what is not there."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ingest.containers import AIFF, AU, CAF, MP3, OGG, W64, WAV, Container, after_id3

_OGG_PAGE = b"OggS"
_OGG_LAST = 4
_OGG_HEADER = 27
_FIRST_FRAME = 256
_TOLERATED_BYTES = 64
"""Some writers put the size of the file where the size of the samples belongs."""
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What writers put that cannot go back to the header of a pipe."""


def bytes_missing(data: bytes, container: Container) -> int:
    """Return how many bytes of samples the header promises beyond the end of the file; 0 where it promises nothing.

    libsndfile shortens such files silently. A few bytes do not count, and neither does a size that says "unknown", as
    programs write that send sound through a pipe. For Ogg, 1 means that the page marked as the last one is not there.
    """
    if container is OGG:
        return 0 if _has_last_page(data) else 1
    missing = max((offset + size - len(data) for offset, size in _sample_chunks(data, container)), default=0)
    return missing if missing > _TOLERATED_BYTES else 0


def counts_samples(data: bytes, container: Container) -> bool:
    """Tell whether the header counts the samples that libsndfile names; of an MP3 without a Xing header it is a guess."""
    return container is not MP3 or any(mark in after_id3(data)[:_FIRST_FRAME] for mark in (b"Xing", b"Info", b"VBRI"))


def _sample_chunks(data: bytes, container: Container) -> Iterator[tuple[int, int]]:
    """Yield offset and promised size of the samples."""
    if container is AU and len(data) >= 12:
        offset, size = struct.unpack_from(">II", data, 4)
        if size not in _UNKNOWN_SIZES:
            yield offset, size
    elif container is W64:
        yield from _w64_chunks(data)
    elif container is CAF:
        yield from _caf_chunks(data)
    elif container in (WAV, AIFF):
        yield from _iff_chunks(data)


def _iff_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    order = ">" if data.startswith((b"FORM", b"RIFX")) else "<"
    long_size: int | None = None
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from(f"{order}I", data, position + 4)[0]
        position += 8
        if name == b"ds64" and position + 16 <= len(data):
            long_size = struct.unpack_from("<Q", data, position + 8)[0]
        if name in (b"data", b"SSND"):
            is_unknown = size in _UNKNOWN_SIZES
            if is_unknown and long_size:
                yield position, long_size
            elif not is_unknown:
                yield position, size
            return
        position += size + size % 2


def _w64_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    position = 40
    while position + 24 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from("<Q", data, position + 16)[0]
        if name == b"data":
            yield position + 24, size - 24
            return
        position += max(24, size + -size % 8)


def _caf_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    position = 8
    while position + 12 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from(">q", data, position + 4)[0]
        position += 12
        if name == b"data":
            yield position, size
            return
        position += max(0, size)


def _has_last_page(data: bytes) -> bool:
    position = data.rfind(_OGG_PAGE)
    header = data[position : position + _OGG_HEADER]
    if len(header) < _OGG_HEADER or not header[5] & _OGG_LAST:
        return False
    segments = data[position + _OGG_HEADER : position + _OGG_HEADER + header[26]]
    return len(data) >= position + _OGG_HEADER + header[26] + sum(segments)
