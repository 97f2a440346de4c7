"""The header of a PLY file: which elements the body holds, and how.

Format: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest.points.claims import corrupt, count_in

BYTE_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
"""Encodings of the body, and the byte order of the numbers in it."""

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
    "int64": "i8",
    "uint64": "u8",
}
_MAX_BYTES = 1 << 16
_END = re.compile(rb"(?:\r\n|\n|\r)end_header[ \t]*(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property of an element.

    Args:
        name: Its name.
        type: NumPy's name of its type, without byte order.
        size_type: The type of the length that stands before a list; empty for a single value.
    """

    name: str
    type: str
    size_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A table of the body: `count` rows of `properties`."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)

    @property
    def has_lists(self) -> bool:
        """Whether rows may differ in length."""
        return any(item.size_type for item in self.properties)

    @property
    def least_row_bytes(self) -> int:
        """What one row takes in binary if all its lists are empty."""
        return sum(np.dtype(item.size_type or item.type).itemsize for item in self.properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Encoding of the body, its elements in order, and the byte at which it starts."""

    encoding: str
    elements: Sequence[Element]
    size: int


def read_header(data: bytes) -> Header:
    """Read the header of a PLY file.

    Raises:
        Rejection: It is damaged, longer than 64 KiB, or of an unknown encoding.
    """
    end = _END.search(data[:_MAX_BYTES])
    if end is None:
        raise corrupt(f"no end_header in the first {min(len(data), _MAX_BYTES)} bytes")
    encoding, elements = "", list[Element]()
    for line in _LINE_END.split(data[: end.start()])[1:]:
        match line.decode("latin-1").split():
            case ["format", name, "1.0"]:
                encoding = name
            case ["element", name, count]:
                elements.append(Element(name=name, count=count_in(count, name)))
            case ["property", *words] if elements:
                elements[-1].properties.append(_property(words))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case words:
                raise corrupt(f"the header says '{' '.join(words)[:80]}'")
    if encoding not in BYTE_ORDERS:
        raise corrupt(f"the format is '{encoding[:40]}', not one of {', '.join(BYTE_ORDERS)}")
    _require_distinct([element.name for element in elements])
    for element in elements:
        _require_distinct([item.name for item in element.properties])
    return Header(encoding=encoding, elements=elements, size=end.end())


def _property(words: list[str]) -> Property:
    match words:
        case ["list", size_type, item_type, name] if size_type in _TYPES and item_type in _TYPES:
            return Property(name=name, type=_TYPES[item_type], size_type=_TYPES[size_type])
        case [item_type, name] if item_type in _TYPES:
            return Property(name=name, type=_TYPES[item_type])
    raise corrupt(f"the header declares the property '{' '.join(words)[:80]}'")


def _require_distinct(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise corrupt(f"the header declares a name twice: {', '.join(names)[:200]}")
