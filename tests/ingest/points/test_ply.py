import struct
from typing import Any

import numpy as np
import pytest

from ingest.settings import IngestSettings, Limits
from shards.schema import RejectReason
from tests.ingest.points import clouds
from tests.ingest.points.reading import PLACES, assert_on_cube, read, refused

ENCODINGS = ["ascii", "binary_little_endian", "binary_big_endian"]
XYZ = "property float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ply_gives_back_every_property(encoding: str) -> None:
    table = np.column_stack([PLACES, clouds.places(50, seed=1)])
    data = clouds.ply(table, encoding=encoding, names="x y z nx ny quality")
    points, columns = read(data, "a.ply")
    assert columns == "x,y,z,nx,ny,quality"
    assert (points == table).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("faces", [clouds.CUBE_QUADS, clouds.CUBE_TRIANGLES])
def test_ply_faces_make_a_surface(encoding: str, faces: Any) -> None:
    points, columns = read(clouds.ply(clouds.CUBE_VERTICES, faces, encoding=encoding), "a.ply")
    assert columns == "x,y,z,nx,ny,nz"
    assert_on_cube(points)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ply_faces_may_have_different_numbers_of_corners(encoding: str) -> None:
    faces = [*clouds.CUBE_QUADS[:3], *clouds.CUBE_TRIANGLES[6:], (0, 1), (2,), ()]
    assert_on_cube(read(clouds.ply(clouds.CUBE_VERTICES, faces, encoding=encoding), "a.ply")[0])


def test_ply_of_every_type_in_either_byte_order() -> None:
    types = {
        "char": "b",
        "uchar": "B",
        "short": "h",
        "ushort": "H",
        "int": "i",
        "uint": "I",
        "double": "d",
        "float": "f",
    }
    names = ["x", "y", "z", *"abcde"]
    for encoding, order in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        properties = "".join(f"property {kind} {name}\n" for kind, name in zip(types, names, strict=True))
        header = f"ply\nformat {encoding} 1.0\nelement vertex 2\n{properties}end_header\n".encode()
        row = struct.Struct(order + "".join(types.values()))
        body = row.pack(-1, 2, -3, 4, -5, 6, 7.5, 8.25) + row.pack(-8, 9, -10, 11, -12, 13, 14.5, 15.25)
        points, columns = read(header + body, "a.ply")
        assert sorted(columns.split(",")) == sorted([*"xyz", "alpha", "blue", "c", "d", "e"])
        assert points[:, :3].tolist() == [[-1, 2, -3], [-8, 9, -10]]
        assert sorted(points[0].tolist()) == sorted([-1, 2, -3, 4, -5, 6, 7.5, 8.25])


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_ply_with_lists_of_a_vertex_and_foreign_elements_in_between(ending: str) -> None:
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "obj_info x",
        "element material 2",
        "property list uchar float weights",
        "element empty 1000000",
        "element vertex 3",
        "property float x",
        "property list uchar short friends",
        "property float y",
        "property float z",
        "end_header",
        "",
    ]
    material = struct.pack("<Bf", 1, 0.5) + struct.pack("<B2f", 2, 0.5, 0.5)
    body = (
        struct.pack("<fB2hff", 1, 2, 7, 8, 2, 3)
        + struct.pack("<fBff", 4, 0, 5, 6)
        + struct.pack("<fBhff", 7, 1, 9, 8, 9)
    )
    points, columns = read(ending.join(header).encode() + material + body, "a.ply")
    assert columns == "x,y,z"
    assert points.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_ply_text_keeps_digits_that_float32_would_lose() -> None:
    header = (
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\nproperty double z\nend_header\n"
    )
    points, _ = read(f"{header}500000.125 0 0\n500001.375 0 0\n".encode(), "a.ply")
    assert points[:, 0].tolist() == [0.125, 1.375]


@pytest.mark.parametrize(
    "header",
    [
        "element vertex 1000000000000\nproperty float x\nproperty float y\nproperty float z\n",
        "element vertex 2\nproperty float x\nproperty float y\nproperty float z\nelement face 900000000000\n",
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_small_ply_that_claims_a_trillion_is_refused_at_once(header: str, encoding: str) -> None:
    data = f"ply\nformat {encoding} 1.0\n{header}end_header\n1 2 3\n".encode()
    assert refused(data, "a.ply") is RejectReason.TOO_MANY_POINTS
    limitless = IngestSettings(limits=Limits(points=10**15, points_bytes=10**18))
    assert refused(data, "a.ply", limitless) is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize(
    "text",
    [
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n",
        "ply\nformat ascii 2.0\nelement vertex 0\nend_header\n",
        "ply\nformat ebcdic 1.0\nelement vertex 0\nend_header\n",
        "ply\nformat ascii 1.0\nelement vertex -1\nend_header\n",
        "ply\nformat ascii 1.0\nelement vertex 1_0\nend_header\n",
        "ply\nformat ascii 1.0\nproperty float x\nend_header\n",
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty quad x\nend_header\n",
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float x\nend_header\n",
        "ply\nformat ascii 1.0\nelement point 1\nproperty float x\nend_header\n1\n",
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty uchar x\nproperty uchar y\nproperty uchar z\nend_header\n1 2 256\n",
        f"ply\nformat ascii 1.0\nelement vertex 1\n{XYZ}end_header\n1 2\n",
        f"ply\nformat ascii 1.0\nelement vertex 1\n{XYZ}end_header\n1 2 three\n",
    ],
)
def test_a_ply_with_a_fault_is_refused(text: str) -> None:
    assert refused(text.encode(), "a.ply") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize("corner", [8, -1, 2**31 - 1])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_faces_of_vertices_that_do_not_exist_are_refused(corner: int, encoding: str) -> None:
    data = clouds.ply(clouds.CUBE_VERTICES, [(0, 1, corner)], encoding=encoding)
    assert refused(data, "a.ply") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize("length", ["-1", "nan", "1e300", "2.5"])
def test_lists_of_impossible_lengths_are_refused(length: str) -> None:
    data = clouds.ply(clouds.CUBE_VERTICES, [(0, 1, 2)]).replace(b"\n3 0 1 2", f"\n{length} 0 1 2".encode())
    assert refused(data, "a.ply") is RejectReason.CORRUPT_POINTS
