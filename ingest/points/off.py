"""OFF: vertices, then polygons, in text; with normals (NOFF), colours (COFF) or texture coordinates (STOFF) at the vertices.

Format: Geomview manual, "OFF: Object File Format".
"""

from __future__ import annotations

import re

import numpy as np

from ingest.points.ascii_numbers import parse_rows, parse_stream, with_newlines
from ingest.points.claims import corrupt, count_in, require_bytes, require_points, require_storable
from ingest.points.cloud import COLOURS, COORDINATES, NORMALS, Cloud, Column, Triangles, named_columns
from ingest.points.surface import fan, vertex_numbers
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

_START = re.compile(rb"(ST)?(C)?(N)?(4?n?)OFF(?![A-Za-z])")
_COMMENT = re.compile(rb"#[^\n]*")


def read_off(raw: Raw, limits: Limits) -> Cloud:
    """Read an OFF file; the counts may stand on the line of the keyword, as in many files of ModelNet.

    Raises:
        Rejection: It is damaged, cut off, binary, of more than three dimensions, or over a limit.
    """
    text = with_newlines(raw.read())
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    text = text.lstrip()
    start = _START.match(text)
    if start is None:
        raise corrupt(f"it begins with '{text[:20].decode('latin-1')}', not with OFF, COFF or NOFF")
    rest = text[start.end() :]
    if start[4] or rest.split(None, 1)[:1] == [b"BINARY"]:
        raise Rejection(
            RejectReason.UNSUPPORTED_FORMAT, "binary OFF, 4OFF and nOFF are not read; write text in 3 dimensions"
        )
    vertices, faces, body = _counts(rest, limits)
    require_bytes(6 * vertices + 2 * faces - 1, len(body), what=f"{vertices} vertices and {faces} faces")
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    if len(lines) < vertices + faces:
        raise corrupt(f"{vertices} vertices and {faces} faces are claimed, {len(lines)} lines are there")
    columns = _vertices(lines[:vertices], limits, has_normals=start[3] is not None)
    triangles = _triangles(lines[vertices : vertices + faces], vertices)
    return Cloud(columns=columns, triangles=triangles, source_format="off")


def _counts(text: bytes, limits: Limits) -> tuple[int, int, bytes]:
    """Return the numbers of vertices and faces, and the text after them; the number of edges means nothing."""
    words = text.split(None, 3)
    if len(words) < 3:
        raise corrupt("the numbers of vertices, faces and edges are missing")
    vertices, faces = (
        count_in(word.decode("latin-1"), what) for word, what in zip(words, ("vertices", "faces"), strict=False)
    )
    require_points(vertices, limits, what="vertices")
    require_points(faces, limits, what="faces")
    return vertices, faces, words[3] if len(words) > 3 else b""


def _vertices(lines: list[bytes], limits: Limits, *, has_normals: bool) -> dict[str, Column]:
    width = len(lines[0].split()) if lines else 3
    require_storable(len(lines), width, limits)
    names = [*COORDINATES, *(NORMALS if has_normals else ())]
    if width >= len(names) + 3:
        names += [*COLOURS, "alpha"]
    if width < 3:
        raise corrupt(f"a vertex has {width} numbers")
    rows = parse_rows(b"\n".join(lines), delimiter=b" ", columns=width) if lines else np.empty((0, 3))
    if len(rows) != len(lines):
        raise corrupt(f"{len(lines) - len(rows)} vertices have no numbers")
    return named_columns(zip(names, rows.T, strict=False))


def _triangles(lines: list[bytes], vertices: int) -> Triangles | None:
    lengths, corners = [], list[bytes]()
    for line in lines:
        words = line.split()
        length = count_in(words[0].decode("latin-1"), "corners")
        if len(words) <= length:
            raise corrupt(f"a face of {length} corners has {len(words) - 1} numbers")
        lengths.append(length)
        corners += words[1 : length + 1]
    return fan(np.array(lengths, np.int64), vertex_numbers(parse_stream(b" ".join(corners))), vertices=vertices)
