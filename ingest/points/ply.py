"""PLY: text or binary of either byte order; vertices and faces are read, other elements passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ingest.points.ascii_numbers import parse_stream
from ingest.points.claims import corrupt, require_bytes, require_points, require_storable
from ingest.points.cloud import Cloud, Column, named_columns
from ingest.points.ply_header import BYTE_ORDERS, Element, Header, Property, read_header
from ingest.points.ply_rows import Buffer, Lists, Rows, read_rows
from ingest.points.surface import fan, vertex_numbers
from ingest.raw import Raw
from ingest.settings import Limits

_WANTED = {"vertex": "vertices", "face": "faces"}
_CORNERS = ("vertex_indices", "vertex_index")


def read_ply(raw: Raw, limits: Limits) -> Cloud:
    """Read a PLY file.

    Raises:
        Rejection: It is damaged, cut off, or over a limit.
    """
    data = raw.read()
    header = read_header(data)
    elements = {element.name: element for element in header.elements}
    if "vertex" not in elements:
        raise corrupt(f"no element 'vertex'; there are {', '.join(elements)[:200] or 'none'}")
    for name, what in _WANTED.items():
        require_points(elements[name].count if name in elements else 0, limits, what=what)
    require_storable(elements["vertex"].count, len(elements["vertex"].properties), limits)
    rows = _ascii_rows(data, header) if header.encoding == "ascii" else _binary_rows(data, header)
    columns = named_columns(rows["vertex"].values.items())
    corners = _corners(rows)
    triangles = None
    if corners is not None:
        triangles = fan(corners.lengths, vertex_numbers(corners.entries), vertices=len(columns["x"]))
    return Cloud(columns=columns, triangles=triangles, source_format="ply")


def _binary_rows(data: bytes, header: Header) -> dict[str, Rows]:
    return _wanted_rows(data, header.size, header.elements, BYTE_ORDERS[header.encoding])


def _ascii_rows(data: bytes, header: Header) -> dict[str, Rows]:
    """Read a text body: laid out as float64, its numbers are a binary body in which every property is a float64."""
    for element in header.elements:
        least = 2 * element.count * len(element.properties) - 1  # a digit and a blank each
        require_bytes(least, len(data) - header.size, what=f"{element.count} rows of {element.name}")
    numbers = parse_stream(data[header.size :]).view(np.uint8).data
    rows = _wanted_rows(numbers, 0, [_as_float64(element) for element in header.elements], "=")
    vertex = next(element for element in header.elements if element.name == "vertex")
    types = {item.name: item.type for item in vertex.properties}
    values = {name: _as_declared(column, types[name]) for name, column in rows["vertex"].values.items()}
    return rows | {"vertex": replace(rows["vertex"], values=values)}


def _wanted_rows(buffer: Buffer, offset: int, elements: Sequence[Element], order: str) -> dict[str, Rows]:
    last = max(number for number, element in enumerate(elements) if element.name in _WANTED)
    found = {}
    for element in elements[: last + 1]:
        rows = read_rows(buffer, offset, element, order)
        offset = rows.end
        if element.name in _WANTED:
            found[element.name] = rows
    return found


def _as_float64(element: Element) -> Element:
    def widened(item: Property) -> Property:
        return replace(item, type="f8", size_type="f8" if item.size_type else "")

    return replace(element, properties=[widened(item) for item in element.properties])


def _as_declared(values: Column, declared: str) -> Column:
    """Return numbers of a text as the integers they are declared to be; declared floats keep all their digits."""
    if declared.startswith("f"):
        return values
    bounds = np.iinfo(declared)
    if not ((values >= bounds.min) & (values <= bounds.max)).all():
        raise corrupt(f"a number is outside of its type, which holds {bounds.min} to {bounds.max}")
    return values.astype(declared)


def _corners(rows: dict[str, Rows]) -> Lists | None:
    lists = rows["face"].lists if "face" in rows else {}
    return next((lists[name] for name in _CORNERS if name in lists), None)
