"""Point clouds and meshes in every format, written by hand so that the readers are not tested against themselves."""

import io
import struct
from collections.abc import Sequence
from itertools import pairwise

import laspy
import numpy as np

CUBE_VERTICES = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
CUBE_QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
"""Corners of a unit cube, and its six sides, seen from outside."""
CUBE_TRIANGLES = [(a, b, c) for a, *rest in CUBE_QUADS for b, c in pairwise(rest)]


def places(count: int, *, seed: int = 0) -> np.ndarray:
    """Return points (count, 3) whose text of three decimals is exact in float32's sense."""
    return np.round(np.random.default_rng(seed).uniform(-9, 9, (count, 3)), 3).astype(np.float32)


def lines(table: np.ndarray, delimiter: str = " ") -> str:
    return "".join(delimiter.join(f"{value:.9g}" for value in row) + "\n" for row in table)


def face_lines(faces: Sequence[Sequence[int]]) -> str:
    return "".join(f"{len(face)} {' '.join(map(str, face))}\n" for face in faces)


def ply(
    vertices: np.ndarray, faces: Sequence[Sequence[int]] = (), *, encoding: str = "ascii", names: str = "x y z"
) -> bytes:
    """Write a PLY file of float32 vertex properties and faces of any length."""
    header = f"ply\nformat {encoding} 1.0\ncomment made by hand\nelement vertex {len(vertices)}\n"
    header += "".join(f"property float {name}\n" for name in names.split())
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n" if faces else ""
    start = f"{header}end_header\n".encode()
    if encoding == "ascii":
        return start + lines(vertices).encode() + face_lines(faces).encode()
    order = "<" if "little" in encoding else ">"
    body = b"".join(struct.pack(f"{order}B{len(face)}i", len(face), *face) for face in faces)
    return start + vertices.astype(f"{order}f4").tobytes() + body


def off(vertices: np.ndarray, faces: Sequence[Sequence[int]] = (), *, start: str = "OFF\n") -> bytes:
    return f"{start}{len(vertices)} {len(faces)} 0\n{lines(vertices)}{face_lines(faces)}".encode()


def obj(vertices: np.ndarray, faces: Sequence[Sequence[int]] = ()) -> bytes:
    text = "# made by hand\nmtllib nothing.mtl\no thing\n" + "".join(
        f"v {line}\n" for line in lines(vertices).splitlines()
    )
    return (text + "".join(f"f {' '.join(f'{corner + 1}/1/1' for corner in face)}\n" for face in faces)).encode()


def stl_binary(triangles: np.ndarray, *, header: bytes = b"") -> bytes:
    facets = np.zeros(len(triangles), [("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    facets["corners"] = triangles
    return header.ljust(80, b"\0") + struct.pack("<I", len(triangles)) + facets.tobytes()


def stl_text(triangles: np.ndarray) -> bytes:
    corners = ["".join(f"      vertex {line}\n" for line in lines(triangle).splitlines()) for triangle in triangles]
    facets = [f"  facet normal 0 0 0\n    outer loop\n{text}    endloop\n  endfacet\n" for text in corners]
    return f"solid thing\n{''.join(facets)}endsolid thing\n".encode()


def pcd(columns: dict[str, np.ndarray], *, data: str = "ascii") -> bytes:
    """Write a PCD file; compressed data consist of literal runs alone."""
    count = len(next(iter(columns.values())))
    kinds = {"f": "F", "u": "U", "i": "I"}
    header = {
        "VERSION": "0.7",
        "FIELDS": " ".join(columns),
        "SIZE": " ".join(str(values.dtype.itemsize) for values in columns.values()),
        "TYPE": " ".join(kinds[values.dtype.kind] for values in columns.values()),
        "COUNT": " ".join(str(values.shape[1] if values.ndim > 1 else 1) for values in columns.values()),
        "WIDTH": str(count),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(count),
        "DATA": data,
    }
    start = ("# .PCD v0.7 - Point Cloud Data file format\n" + "".join(f"{k} {v}\n" for k, v in header.items())).encode()
    if data == "ascii":
        table = np.column_stack([values.astype(np.float64) for values in columns.values()])
        return start + lines(table).encode()
    if data == "binary":
        rows = np.zeros(count, [(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
        for name, values in columns.items():
            rows[name] = values
        return start + rows.tobytes()
    plain = b"".join(values.tobytes() for values in columns.values())
    packed = lzf_literal(plain)
    return start + struct.pack("<II", len(packed), len(plain)) + packed


def lzf_literal(plain: bytes) -> bytes:
    runs = [plain[start : start + 32] for start in range(0, len(plain), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def las(
    xyz: np.ndarray, *, compressed: bool = False, point_format: int = 3, version: str = "1.2", **attributes: np.ndarray
) -> bytes:
    header = laspy.LasHeader(point_format=point_format, version=version)
    header.scales, header.offsets = np.full(3, 0.001), np.floor(xyz.min(axis=0))
    data = laspy.LasData(header)
    data.x, data.y, data.z = xyz.T
    for name, values in attributes.items():
        data[name] = values
    file = io.BytesIO()
    data.write(file, do_compress=compressed, laz_backend=laspy.LazBackend.Lazrs if compressed else None)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
