"""STL: triangles without shared vertices, in text or in binary.

Format: 3D Systems, "StereoLithography Interface Specification", 1989. The stored normals are not used: they are often wrong.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from ingest.points.ascii_numbers import parse_stream
from ingest.points.claims import corrupt, require_points
from ingest.points.cloud import COORDINATES, Cloud
from ingest.raw import Raw
from ingest.settings import Limits

_HEADER_BYTES = 84
_FACET = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"vertex\s+(\S+\s+\S+\s+\S+)")


def read_stl(raw: Raw, limits: Limits) -> Cloud:
    """Read an STL file.

    It is binary if its size is what the number of triangles in it demands, whatever it begins with: many binary files begin
    with `solid` like a text.

    Raises:
        Rejection: It is damaged, cut off, or over a limit.
    """
    data = raw.read()
    count = int.from_bytes(data[80:84], "little")
    if len(data) == _HEADER_BYTES + count * _FACET.itemsize:
        require_points(count, limits, what="triangles")
        corners = np.frombuffer(data, _FACET, count, _HEADER_BYTES)["corners"]
        return _cloud(corners.reshape(-1, 3))
    if data.lstrip()[:5].lower() == b"solid":
        return _cloud(_text_corners(data.lower(), limits))
    claim = f"claims {count} triangles, which take {_HEADER_BYTES + count * _FACET.itemsize}"
    raise corrupt(f"no text that begins with 'solid', and as a binary file of {len(data)} bytes it {claim}")


def _text_corners(text: bytes, limits: Limits) -> npt.NDArray[np.float64]:
    facets = text.count(b"endfacet")
    require_points(facets, limits, what="triangles")
    numbers = parse_stream(b"\n".join(_VERTEX.findall(text)))
    if len(numbers) != 9 * facets or b"endsolid" not in text:
        raise corrupt(f"{facets} facets end, with {len(numbers)} coordinates, and the solid {_ended(text)}")
    return numbers.reshape(-1, 3)


def _ended(text: bytes) -> str:
    return "ends" if b"endsolid" in text else "does not"


def _cloud(corners: npt.NDArray[np.floating]) -> Cloud:
    columns = dict(zip(COORDINATES, corners.T, strict=True))
    return Cloud(columns=columns, triangles=np.arange(len(corners)).reshape(-1, 3), source_format="stl")
