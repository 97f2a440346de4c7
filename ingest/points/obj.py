"""Wavefront OBJ: the vertices and polygons of the text; materials, texture coordinates, lines and curves are passed over.

Format: Wavefront, "Object Files (.obj)", Advanced Visualizer manual, appendix B1. No other file is ever opened.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest.points.ascii_numbers import parse_rows, parse_stream, with_newlines
from ingest.points.claims import corrupt, require_points, require_storable
from ingest.points.cloud import COLOURS, COORDINATES, Cloud, Column, Triangles, named_columns
from ingest.points.surface import fan, vertex_numbers
from ingest.raw import Raw
from ingest.settings import Limits

_NAMES = {
    3: COORDINATES,
    4: (*COORDINATES, "weight"),
    6: (*COORDINATES, *COLOURS),
    7: (*COORDINATES, *COLOURS, "alpha"),
}
"""What the numbers of a vertex are, by how many there are."""


def read_obj(raw: Raw, limits: Limits) -> Cloud:
    """Read an OBJ file; colours may follow the coordinates of a vertex.

    Raises:
        Rejection: It is damaged or over a limit.
    """
    text = with_newlines(raw.read()).replace(b"\\\n", b" ")
    vertices, faces, seen = list[bytes](), list[list[bytes]](), list[int]()
    for line in text.split(b"\n"):
        match line.lstrip()[:2]:
            case b"v " | b"v\t":
                vertices.append(line.lstrip()[2:])
            case b"f " | b"f\t":
                faces.append(line.split()[1:])
                seen.append(len(vertices))
    require_points(len(vertices), limits, what="vertices")
    require_points(len(faces), limits, what="faces")
    columns = _columns(vertices, limits)
    return Cloud(columns=columns, triangles=_triangles(faces, seen, len(vertices)), source_format="obj")


def _columns(vertices: list[bytes], limits: Limits) -> dict[str, Column]:
    width = len(vertices[0].split()) if vertices else 3
    if width not in _NAMES:
        raise corrupt(f"the first vertex has {width} numbers; it may have {', '.join(map(str, _NAMES))}")
    require_storable(len(vertices), width, limits)
    rows = parse_rows(b"\n".join(vertices), delimiter=b" ", columns=width) if vertices else np.empty((0, 3))
    if len(rows) != len(vertices):
        raise corrupt(f"{len(vertices) - len(rows)} vertices have no numbers")
    columns = named_columns(zip(_NAMES[width], rows.T, strict=True))
    return {name: values for name, values in columns.items() if name != "weight"}


def _triangles(faces: list[list[bytes]], seen: Sequence[int], vertices: int) -> Triangles | None:
    """Cut polygons into triangles; a negative number counts back from the vertices `seen` before its face."""
    lengths = np.array([len(words) for words in faces], np.int64)
    heads = [word.partition(b"/")[0] for words in faces for word in words]
    numbers = vertex_numbers(parse_stream(b" ".join(heads)))
    if len(numbers) != len(heads):
        raise corrupt("a corner of a face names no vertex")
    back = np.repeat(np.array(seen, np.int64), lengths) + numbers
    return fan(lengths, np.where(numbers < 0, back, numbers - 1), vertices=vertices)
