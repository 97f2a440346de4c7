"""The parts of a LAS or LAZ header that tell how much there is to read, checked against the size of the file.

The libraries trust them: a wrong number of records keeps laspy busy for minutes, a wrong number of chunks makes lazrs
allocate without bound.
Format: ASPRS, "LAS Specification 1.4 - R15"; LASzip's record and chunk table: M. Isenburg, "LASzip: lossless compression of
LiDAR data", 2013.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ingest.points.claims import corrupt, require_bytes
from ingest.rejection import Rejection
from shards.schema import RejectReason

_SIZES = {0: 227, 1: 227, 2: 227, 3: 235, 4: 375, 5: 393}
"""Bytes of the header by the minor version."""
_RECORD_BYTES = 54
_LASZIP_RECORD = (b"laszip encoded", 22204)
_IN_CHUNKS, _IN_LAYERS = 2, 3
"""Compressors of LASzip that lazrs reads."""
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}
"""How many layers an item of a point has by its type: point, colours, colours and infrared, wave packet."""
_EXTRA_BYTES = 14
"""Type of the item that has a layer for each of its bytes."""
_ITEM_BYTES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LasHeader:
    """How many points a file holds, and how many bytes one takes uncompressed."""

    count: int
    point_bytes: int


def checked_header(data: bytes) -> LasHeader:
    """Read the header and compare what it claims with what is there.

    Raises:
        Rejection: The file is cut off or damaged, or compressed in a way that lazrs does not read.
    """
    require_bytes(_SIZES[0], len(data), what="a LAS header")
    major, minor = data[24:26]
    if major != 1 or minor not in _SIZES:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"LAS {major}.{minor}; versions 1.0 to 1.5 are read")
    require_bytes(_SIZES[minor], len(data), what=f"a LAS {major}.{minor} header")
    size, start, records, kind, point_bytes, count = struct.unpack_from("<HIIBHI", data, 94)
    if minor >= 4:
        (count,) = struct.unpack_from("<Q", data, 247)
    if not _SIZES[minor] <= size <= start <= len(data):
        raise corrupt(f"a header of {size} bytes, points from byte {start}, {len(data)} bytes in all")
    require_bytes(records * _RECORD_BYTES, start - size, what=f"{records} variable length records")
    if kind & 0x80:
        _check_compression(data, start, _laszip_record(data, size, start, records), count, point_bytes)
    else:
        require_bytes(count * point_bytes, len(data) - start, what=f"{count} points of {point_bytes} bytes")
    return LasHeader(count=count, point_bytes=point_bytes)


def _laszip_record(data: bytes, place: int, end: int, records: int) -> bytes:
    """Return the record that says how the points are compressed."""
    for _ in range(records):
        require_bytes(_RECORD_BYTES, end - place, what="a variable length record")
        user, number, length = struct.unpack_from("<16sHH", data, place + 2)
        place += _RECORD_BYTES
        require_bytes(length, end - place, what="a variable length record")
        if (user.rstrip(b"\0"), number) == _LASZIP_RECORD:
            return data[place : place + length]
        place += length
    raise corrupt("the points are compressed, but no LASzip record says how")


def _check_compression(data: bytes, start: int, record: bytes, count: int, point_bytes: int) -> None:
    require_bytes(34, len(record), what="a LASzip record")
    compressor, items = struct.unpack_from("<H30xH", record)
    if compressor not in (_IN_CHUNKS, _IN_LAYERS):
        detail = "compressed without chunks, as LASzip did before 2.0; write it again with a current LASzip"
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, detail)
    require_bytes(34 + items * _ITEM_BYTES, len(record), what=f"{items} items of a LASzip record")
    kinds = [struct.unpack_from("<HH", record, 34 + number * _ITEM_BYTES) for number in range(items)]
    if sum(size for _, size in kinds) != point_bytes:
        raise corrupt(f"points of {point_bytes} bytes, compressed as {sum(size for _, size in kinds)} bytes")
    if count:
        table, chunks = _chunk_table(data, start, count)
        if compressor == _IN_LAYERS:
            layers = sum(size if kind == _EXTRA_BYTES else _LAYERS.get(kind, 0) for kind, size in kinds)
            held = _check_layers(data, start + 8, table, chunks=chunks, point_bytes=point_bytes, layers=layers)
            if held != count:
                raise corrupt(f"{count} points are claimed, the chunks hold {held}")


def _chunk_table(data: bytes, start: int, count: int) -> tuple[int, int]:
    """Return where the table of chunks stands, and how many there are."""
    require_bytes(8, len(data) - start, what="the place of the chunk table")
    (table,) = struct.unpack_from("<q", data, start)
    if table == -1:  # the writer could not go back; it put the place at the end
        (table,) = struct.unpack_from("<q", data, len(data) - 8)
    if not start + 8 <= table <= len(data) - 8:
        raise corrupt(f"the chunk table stands at byte {table} of {len(data)}")
    (chunks,) = struct.unpack_from("<I", data, table + 4)
    if chunks > count:
        raise corrupt(f"{chunks} chunks for {count} points")
    return table, chunks


def _check_layers(data: bytes, place: int, end: int, *, chunks: int, point_bytes: int, layers: int) -> int:
    """Return how many points the chunks hold.

    A chunk is its first point, the number of its points, the sizes of its layers, and the layers. The sizes are compared with
    what is there; a decoder that goes on after the last chunk takes anything for sizes, so the numbers matter as much.
    """
    points = 0
    for _ in range(chunks):
        sizes = place + point_bytes + 4
        require_bytes(sizes + 4 * layers, end, what="the sizes of a chunk's layers")
        points += struct.unpack_from("<I", data, place + point_bytes)[0]
        place = sizes + 4 * layers + sum(struct.unpack_from(f"<{layers}I", data, sizes))
        require_bytes(place, end, what="the layers of a chunk")
    return points
