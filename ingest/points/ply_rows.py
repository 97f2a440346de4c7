"""The rows of one PLY element, out of a binary body."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.points.claims import corrupt, require_bytes
from ingest.points.cloud import Column
from ingest.points.ply_header import Element, Property

Integers = npt.NDArray[np.int64]
Buffer = bytes | memoryview

_STRUCT_CODES = {
    "i1": "b",
    "u1": "B",
    "i2": "h",
    "u2": "H",
    "i4": "i",
    "u4": "I",
    "i8": "q",
    "u8": "Q",
    "f4": "f",
    "f8": "d",
}
_LONGEST_ROW = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The lists of one property: the length of each, and the entries of all, one after the other."""

    lengths: Integers
    entries: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of an element: single values and lists by property, and the byte after the last row."""

    values: Mapping[str, Column]
    lists: Mapping[str, Lists]
    end: int


def read_rows(buffer: Buffer, offset: int, element: Element, order: str) -> Rows:
    """Read the rows of an element.

    Args:
        buffer: The body, or the file.
        offset: Where the first row starts.
        element: What the rows are.
        order: Byte order, `<`, `>` or `=`.

    Raises:
        Rejection: The rows go on after the end of the file, or a list has a length that is none.
    """
    what = f"{element.count} rows of {element.name}"
    require_bytes(element.count * element.least_row_bytes, len(buffer) - offset, what=what)
    if not element.properties or not element.count:
        return Rows(values={item.name: np.empty(0, item.type) for item in element.properties}, lists={}, end=offset)
    rows = _even_rows(buffer, offset, element, order)
    return rows if rows is not None else _uneven_rows(buffer, offset, element, order)


def _even_rows(buffer: Buffer, offset: int, element: Element, order: str) -> Rows | None:
    """Read rows whose lists are all as long as those of the first row, as of a mesh of triangles; None for others."""
    fields: list[tuple[Any, ...]] = []
    lengths: dict[str, int] = {}
    place = offset
    for item in element.properties:
        if item.size_type:
            lengths[item.name] = length = _length_at(buffer, place, _length_format(item, order), item)
            fields += [(_length_name(item), order + item.size_type), (item.name, order + item.type, (length,))]
            place += np.dtype(item.size_type).itemsize + length * np.dtype(item.type).itemsize
        else:
            fields.append((item.name, order + item.type))
            place += np.dtype(item.type).itemsize
    row_bytes = place - offset
    if row_bytes > _LONGEST_ROW or element.count * row_bytes > len(buffer) - offset:
        return None
    table = np.frombuffer(buffer, np.dtype(fields), element.count, offset)
    lists = [item for item in element.properties if item.size_type]
    if not all((table[_length_name(item)] == lengths[item.name]).all() for item in lists):
        return None
    return Rows(
        values={item.name: table[item.name] for item in element.properties if not item.size_type},
        lists={
            item.name: Lists(lengths=np.full(element.count, lengths[item.name]), entries=table[item.name].reshape(-1))
            for item in lists
        },
        end=offset + element.count * row_bytes,
    )


def _uneven_rows(buffer: Buffer, offset: int, element: Element, order: str) -> Rows:
    """Read rows one by one to find where everything stands, then gather it."""
    sizes = {item.name: np.dtype(item.type).itemsize for item in element.properties}
    formats = {item.name: _length_format(item, order) for item in element.properties if item.size_type}
    places: dict[str, list[int]] = {item.name: [] for item in element.properties}
    lengths: dict[str, list[int]] = {name: [] for name in formats}
    for _ in range(element.count):
        for item in element.properties:
            length = 1
            if item.size_type:
                length = _length_at(buffer, offset, formats[item.name], item)
                lengths[item.name].append(length)
                offset += formats[item.name].size
            places[item.name].append(offset)
            offset += length * sizes[item.name]
        require_bytes(offset, len(buffer), what=f"the rows of {element.name}")
    found = {item.name: np.array(places[item.name], np.int64) for item in element.properties}
    types = {item.name: np.dtype(order + item.type) for item in element.properties}
    return Rows(
        values={name: _gathered(buffer, found[name], types[name]) for name in found if name not in lengths},
        lists={name: _gathered_lists(buffer, found[name], np.array(lengths[name]), types[name]) for name in lengths},
        end=offset,
    )


def _gathered_lists(buffer: Buffer, starts: Integers, lengths: Integers, entry: np.dtype[Any]) -> Lists:
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(starts, lengths) + within * entry.itemsize
    return Lists(lengths=lengths, entries=_gathered(buffer, places, entry))


def _gathered(buffer: Buffer, places: Integers, entry: np.dtype[Any]) -> Column:
    """Return the numbers of one type that stand at byte offsets `places`."""
    octets = np.frombuffer(buffer, np.uint8)
    numbers: Column = octets[places[:, None] + np.arange(entry.itemsize)].view(entry)[:, 0]
    return numbers


def _length_format(item: Property, order: str) -> struct.Struct:
    return struct.Struct(order + _STRUCT_CODES[item.size_type])


def _length_at(buffer: Buffer, place: int, length: struct.Struct, item: Property) -> int:
    """Return the length of a list, which is a whole number even where the type would allow others."""
    require_bytes(place + length.size, len(buffer), what=f"the lists of {item.name}")
    (number,) = length.unpack_from(buffer, place)
    if not 0 <= number <= len(buffer) or number != int(number):
        raise corrupt(f"a list of {item.name} has the length {number}")
    return int(number)


def _length_name(item: Property) -> str:
    return f"length of {item.name}"  # a property's name has no blanks, so this is none
