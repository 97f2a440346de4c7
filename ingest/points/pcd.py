"""PCD, the format of the Point Cloud Library: text, binary, or compressed field by field.

Format: PCL documentation, "The PCD (Point Cloud Data) file format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.points.ascii_numbers import parse_stream
from ingest.points.claims import corrupt, count_in, require_bytes, require_points, require_storable
from ingest.points.cloud import Cloud, Column, named_columns
from ingest.points.lzf import decompress
from ingest.raw import Raw
from ingest.settings import Limits

_MAX_HEADER_BYTES = 1 << 16
_DATA = re.compile(rb"(?:^|\n)DATA[ \t]+(\w+)[ \t]*\r?\n")
_TYPES = {("F", 4), ("F", 8), *((kind, size) for kind in "IU" for size in (1, 2, 4, 8))}
_MAX_NUMBERS = 1 << 16
_PADDING = "_"
_PACKED_COLOURS = ("rgb", "rgba")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field: `count` numbers of a type, given as NumPy's name, per point."""

    name: str
    type: str
    count: int


def read_pcd(raw: Raw, limits: Limits) -> Cloud:
    """Read a PCD file; a packed `rgb` or `rgba` becomes columns of its own, the empty points of a grid are NaN.

    Raises:
        Rejection: It is damaged, cut off, or over a limit.
    """
    data = raw.read()
    end = _DATA.search(data[:_MAX_HEADER_BYTES])
    if end is None:
        raise corrupt(f"no DATA line in the first {min(len(data), _MAX_HEADER_BYTES)} bytes")
    header = _header(data[: end.start()])
    fields = _fields(header)
    count = _count(header)
    require_points(count, limits)
    require_storable(count, sum(item.count for item in fields), limits)
    match end[1].decode("latin-1").lower():
        case "ascii":
            values = _ascii_values(data[end.end() :], fields, count)
        case "binary":
            values = _binary_values(data, end.end(), fields, count)
        case "binary_compressed":
            values = _compressed_values(data[end.end() :], fields, count)
        case other:
            raise corrupt(f"DATA is '{other[:40]}', not ascii, binary or binary_compressed")
    return Cloud(columns=named_columns(_columns(fields, values)), source_format="pcd")


def _header(text: bytes) -> dict[str, list[str]]:
    lines = [line.split() for line in text.decode("latin-1").splitlines()]
    return {words[0]: words[1:] for words in lines if words and not words[0].startswith("#")}


def _fields(header: dict[str, list[str]]) -> list[_Field]:
    names = header.get("FIELDS") or header.get("COLUMNS") or []
    kinds, sizes = header.get("TYPE", []), header.get("SIZE", [])
    counts = header.get("COUNT", ["1"] * len(names))
    if not len(names) == len(kinds) == len(sizes) == len(counts):
        numbers = f"{len(names)} FIELDS, {len(sizes)} SIZE, {len(kinds)} TYPE and {len(counts)} COUNT"
        raise corrupt(f"the header has {numbers}")
    fields = []
    for name, kind, size, count in zip(names, kinds, sizes, counts, strict=True):
        item_bytes, length = count_in(size, "SIZE"), count_in(count, "COUNT")
        if (kind, item_bytes) not in _TYPES:
            raise corrupt(f"the field {name[:40]} has the type {kind[:10]}{item_bytes}")
        if length > _MAX_NUMBERS:
            raise corrupt(f"the field {name[:40]} has {length} numbers a point")
        fields.append(_Field(name=name, type=f"<{kind.lower()}{item_bytes}", count=length))
    return fields


def _count(header: dict[str, list[str]]) -> int:
    numbers = {name: count_in(" ".join(header[name]), name) for name in ("WIDTH", "HEIGHT", "POINTS") if name in header}
    grid = numbers["WIDTH"] * numbers.get("HEIGHT", 1) if "WIDTH" in numbers else None
    points = numbers.get("POINTS", grid)
    if points is None or (grid is not None and grid != points):
        raise corrupt(f"the number of points is unclear: {', '.join(f'{name} {n}' for name, n in numbers.items())}")
    return points


def _ascii_values(text: bytes, fields: Sequence[_Field], count: int) -> list[Column]:
    """Return the numbers of every field, shape (points, numbers of the field)."""
    width = sum(item.count for item in fields)
    require_bytes(2 * count * width - 1, len(text), what=f"{count} points of {width} numbers")
    numbers = parse_stream(text)
    if len(numbers) != count * width:
        raise corrupt(f"{count} points of {width} numbers are claimed, {len(numbers)} numbers are there")
    edges = np.cumsum([item.count for item in fields])[:-1]
    tables = np.split(numbers.reshape(count, width), edges, axis=1)
    return [_declared(table, item) for table, item in zip(tables, fields, strict=True)]


def _declared(table: Column, item: _Field) -> Column:
    """Return packed colours as the four bytes that the text means; other numbers keep all their digits."""
    if not _is_packed(item):
        return table
    bounds = np.finfo(item.type) if item.type[1] == "f" else np.iinfo(item.type)
    if not ((table >= bounds.min) & (table <= bounds.max)).all():
        raise corrupt(f"a number of {item.name} does not fit into its type")
    return table.astype(item.type)


def _binary_values(data: bytes, offset: int, fields: Sequence[_Field], count: int) -> list[Column]:
    row = np.dtype([(str(number), item.type, (item.count,)) for number, item in enumerate(fields)])
    require_bytes(count * row.itemsize, len(data) - offset, what=f"{count} points of {row.itemsize} bytes")
    table = np.frombuffer(data, row, count, offset)
    return [table[str(number)] for number in range(len(fields))]


def _compressed_values(data: bytes, fields: Sequence[_Field], count: int) -> list[Column]:
    """Return the fields of a compressed body, which stand there one after the other."""
    require_bytes(8, len(data), what="the sizes before compressed data")
    compressed, size = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    require_bytes(compressed, len(data) - 8, what="compressed data")
    lengths = [count * item.count * np.dtype(item.type).itemsize for item in fields]
    if size != sum(lengths):
        raise corrupt(f"{count} points take {sum(lengths)} bytes, the compressed data claim {size}")
    body = decompress(data[8 : 8 + compressed], size)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    return [
        np.frombuffer(body, item.type, count * item.count, start).reshape(count, item.count)
        for item, start in zip(fields, starts, strict=True)
    ]


def _columns(fields: Sequence[_Field], values: Sequence[Column]) -> Iterator[tuple[str, Column]]:
    for item, table in zip(fields, values, strict=True):
        if _is_packed(item):
            yield from _unpacked(table[:, 0], has_alpha=item.name == "rgba")
        elif item.name != _PADDING:
            names = [item.name] if item.count == 1 else [f"{item.name}_{number}" for number in range(item.count)]
            yield from zip(names, table.T, strict=True)


def _is_packed(item: _Field) -> bool:
    return item.name in _PACKED_COLOURS and item.count == 1 and item.type in ("<f4", "<u4", "<i4")


def _unpacked(values: Column, *, has_alpha: bool) -> Iterator[tuple[str, Column]]:
    """Take colours apart that are packed as 0xAARRGGBB, whatever the type of the four bytes."""
    bits = np.ascontiguousarray(values).view("<u4")
    names = ("blue", "green", "red", "alpha") if has_alpha else ("blue", "green", "red")
    for number, name in enumerate(names):
        yield name, (bits >> np.uint32(8 * number)).astype(np.uint8)
