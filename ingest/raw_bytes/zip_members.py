"""Members of zip archives, read by the offset of their header: nothing is extracted, and no directory is read again."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.items import Part
from ingest.raw import Raw
from ingest.raw_bytes.held import MEMORY_BYTES, Holder
from ingest.raw_bytes.local_files import LocalFiles
from ingest.rejection import Rejection
from shards.schema import RejectReason
from shards.storage import printable

STORED, DEFLATED = 0, 8
_HEADER = struct.Struct("<4s5H3I2H")
_MAGIC = b"PK\x03\x04"
_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """Where the payload of a member begins, how it is packed, and its checksum where the header knows it."""

    start: int
    method: int
    crc: int | None


def open_member(files: LocalFiles, part: Part, limit: int) -> Raw:
    """Return the raw bytes of a member: unpacked as they are needed, never more than the limit.

    Args:
        files: Opens the archive.
        part: Its `offset` is the byte offset of the member's own header, its `size` the size once unpacked.
        limit: Most bytes.

    Raises:
        Rejection: The archive is not the one that was listed, or the member is damaged, encrypted or larger than it says.
    """
    member = _header(files, part)
    name = f"{part.uri}#{part.member}"
    if member.method == STORED and part.size > MEMORY_BYTES:
        return Raw(
            name=name,
            size=part.size,
            opener=lambda: io.BufferedReader(files.range(part, member.start, part.size)),
        )
    holder = Holder(name, min(limit, part.size))
    crc = 0
    for piece in _pieces(files, part, member):
        crc = zlib.crc32(piece, crc)
        holder.write(piece)
    raw = holder.raw()
    if raw.size != part.size or (member.crc is not None and crc != member.crc):
        raise Rejection(
            RejectReason.UNREADABLE_FILE, f"{printable(name)} is damaged: its checksum or its size is wrong"
        )
    return raw


def _header(files: LocalFiles, part: Part) -> _Member:
    """Read the header that stands before a member, and compare it with what the archive's directory said."""
    where = f"{printable(part.uri)}: member '{printable(part.member)}'"
    with files.range(part, part.offset, _HEADER.size) as file:
        fields = _HEADER.unpack(file.readall())
    magic, _, flags, method, _, _, crc, _, _, name_length, extra_length = fields
    if magic != _MAGIC:
        raise Rejection(RejectReason.UNREADABLE_FILE, f"{where} does not begin where the archive says")
    if flags & _ENCRYPTED:
        raise Rejection(RejectReason.FORBIDDEN_MEMBER, f"{where} is encrypted")
    if method not in (STORED, DEFLATED):
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"{where} is packed by method {method}; only deflate is read")
    start = part.offset + _HEADER.size + name_length + extra_length
    return _Member(start=start, method=method, crc=None if flags & _SIZES_FOLLOW else crc)


def _pieces(files: LocalFiles, part: Part, member: _Member) -> Iterator[bytes]:
    """Yield the content of a member, at most one piece more than it claims to have."""
    if member.method == STORED:
        with files.range(part, member.start, part.size) as file:
            yield file.readall()
        return
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    end = files.path(part.uri).stat().st_size
    with files.range(part, member.start, end - member.start) as file:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(_CHUNK)
            if not packed:
                raise Rejection(
                    RejectReason.UNREADABLE_FILE, f"{printable(part.uri)} ends inside '{printable(part.member)}'"
                )
            try:
                yield unpacker.decompress(packed, _CHUNK)
            except zlib.error as error:
                detail = f"{printable(part.uri)}: member '{printable(part.member)}' is damaged: {error}"
                raise Rejection(RejectReason.UNREADABLE_FILE, detail) from error
