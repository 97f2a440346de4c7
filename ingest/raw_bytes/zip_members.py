"""Members of zip archives, read by the offset of their header: nothing is extracted, and everything is checked."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ingest.items import Part
from ingest.raw import Raw
from ingest.raw_bytes.held import MEMORY_BYTES, Holder
from ingest.raw_bytes.local_files import LocalFiles
from ingest.rejection import Rejection
from ingest.sources.zips import DAMAGED_DIRECTORY
from shards.schema import RejectReason
from shards.storage import printable

STORED, DEFLATED = 0, 8
_HEADER = struct.Struct("<4s5H3I2H")
_MAGIC = b"PK\x03\x04"
_ENCRYPTED, _CRC_FOLLOWS = 1, 8
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """Where the payload of a member begins, how it is packed, and its checksum."""

    start: int
    method: int
    crc: int


class ZipMembers:
    """Opens members of zip archives; none is given away whose checksum is wrong.

    Args:
        files: Opens the archives.
    """

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._checksums: dict[str, Mapping[int, int]] = {}
        self._sound: set[tuple[str, int]] = set()

    def prepare(self, part: Part) -> None:
        """Read the directory of an archive if a member needs it, which serves all other members as well."""
        with suppress(Rejection):  # `open` meets the same fault
            self._header(part)

    def open(self, part: Part, limit: int) -> Raw:
        """Return the raw bytes of a member: unpacked as they are needed, never more than the limit.

        Args:
            part: Its `offset` is the byte offset of the member's own header, its `size` the size once unpacked.
            limit: Most bytes.

        Raises:
            Rejection: The archive is not the one that was listed, or the member is damaged, encrypted or larger than it
                says.
        """
        member = self._header(part)
        if member.method == STORED and part.size > MEMORY_BYTES:
            return self._large(part, member)
        holder = Holder(f"{part.uri}#{part.member}", min(limit, part.size))
        crc = 0
        for piece in _pieces(self._files, part, member):
            crc = zlib.crc32(piece, crc)
            holder.write(piece)
        raw = holder.raw()
        if raw.size != part.size or crc != member.crc:
            raise _damaged(part)
        return raw

    def _large(self, part: Part, member: _Member) -> Raw:
        """Return a member that stands in the archive as it is, after reading it once for its checksum."""
        if (part.uri, part.offset) not in self._sound:
            crc = 0
            for piece in _pieces(self._files, part, member):
                crc = zlib.crc32(piece, crc)
            if crc != member.crc:
                raise _damaged(part)
            self._sound.add((part.uri, part.offset))
        return Raw(
            name=f"{part.uri}#{part.member}",
            size=part.size,
            opener=lambda: io.BufferedReader(self._files.range(part, member.start, part.size)),
        )

    def _header(self, part: Part) -> _Member:
        """Read the header that stands before a member, and compare it with what the archive's directory said."""
        where = f"{printable(part.uri)}: member '{printable(part.member)}'"
        with self._files.range(part, part.offset, _HEADER.size) as file:
            fields = _HEADER.unpack(file.readall())
        magic, _, flags, method, _, _, crc, _, _, name_length, extra_length = fields
        if magic != _MAGIC:
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{where} does not begin where the archive says")
        if flags & _ENCRYPTED:
            raise Rejection(RejectReason.FORBIDDEN_MEMBER, f"{where} is encrypted")
        if method not in (STORED, DEFLATED):
            raise Rejection(
                RejectReason.UNSUPPORTED_FORMAT, f"{where} is packed by method {method}; only deflate is read"
            )
        start = part.offset + _HEADER.size + name_length + extra_length
        return _Member(start=start, method=method, crc=self._listed_crc(part) if flags & _CRC_FOLLOWS else crc)

    def _listed_crc(self, part: Part) -> int:
        """Return the checksum that the archive's directory gives, for members whose header was written before it was known."""
        if part.uri not in self._checksums:
            self._checksums[part.uri] = self._read_checksums(part)
        crc = self._checksums[part.uri].get(part.offset)
        if crc is None:
            raise Rejection(RejectReason.CHANGED_FILE, f"{part.uri} lists no member at byte {part.offset} any more")
        return crc

    def _read_checksums(self, part: Part) -> dict[int, int]:
        """Return the checksums of all members of an archive by the offset of their headers."""
        try:
            with (
                self._files.faults(part.uri),
                os.fdopen(self._files.open(part), "rb") as file,
                zipfile.ZipFile(file) as archive,
            ):
                return {member.header_offset: member.CRC for member in archive.infolist()}
        except DAMAGED_DIRECTORY as error:
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{part.uri} is damaged: {error}") from error


def _damaged(part: Part) -> Rejection:
    detail = f"{part.uri}#{part.member} is damaged: its checksum or its size is wrong"
    return Rejection(RejectReason.UNREADABLE_FILE, detail)


def _pieces(files: LocalFiles, part: Part, member: _Member) -> Iterator[bytes]:
    """Yield the content of a member, at most one piece more than it claims to have."""
    if member.method == STORED:
        with files.range(part, member.start, part.size) as file:
            while piece := file.read(_CHUNK):
                yield piece
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
