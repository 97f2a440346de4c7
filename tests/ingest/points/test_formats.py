"""Every format against the numbers that were written into it."""

import struct
from typing import Any

import numpy as np
import pytest

from ingest.points import store_points
from ingest.points.lzf import decompress
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits, PointSettings
from pipelines.transforms.points import decode_points
from shards.schema import RejectReason
from tests.ingest.points import clouds

SMALL_MESH = IngestSettings(points=PointSettings(mesh_points=500))
PLACES = clouds.places(50)
XYZ = "property float x\nproperty float y\nproperty float z\n"


def read(data: bytes, name: str, settings: IngestSettings = SMALL_MESH) -> tuple[np.ndarray, str]:
    (stored,) = store_points(Raw.of(data, name=name), "points", settings, key="key")
    assert isinstance(stored.data, bytes)
    return decode_points(stored.data), stored.facts["columns"]


def refused(data: bytes, name: str, settings: IngestSettings = SMALL_MESH) -> RejectReason:
    with pytest.raises(Rejection) as caught:
        read(data, name, settings)
    assert caught.value.detail
    return caught.value.reason


def assert_on_cube(points: np.ndarray) -> None:
    """Every point lies on a side of the unit cube, and its normal points out of that side."""
    assert points.shape == (500, 6)
    places, normals = points[:, :3], points[:, 3:]
    assert places.min() >= 0 and places.max() <= 1
    assert np.allclose(np.abs(places - 0.5 - normals / 2)[normals != 0], 0, atol=1e-6)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    assert {tuple(normal) for normal in np.round(normals).tolist()} == {
        (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)
    }  # fmt: skip


ENCODINGS = ["ascii", "binary_little_endian", "binary_big_endian"]


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


@pytest.mark.parametrize("start", ["OFF\n", "OFF ", "OFF", "# a comment\n\nOFF\n", "OFF # the keyword\n\n# numbers\n"])
def test_off_keyword_and_counts_may_stand_anywhere_among_comments(start: str) -> None:
    points, _ = read(clouds.off(PLACES, start=start), "a.off")
    assert (points == PLACES).all()


def test_off_faces_make_a_surface_whatever_stands_behind_their_corners() -> None:
    data = clouds.off(clouds.CUBE_VERTICES, [*clouds.CUBE_QUADS[:3], *clouds.CUBE_TRIANGLES[6:]])
    assert_on_cube(read(data, "a.off")[0])
    assert_on_cube(read(data.replace(b"\n4 0 1 3 2\n", b"  \r\n4 0 1 3 2 255 0 0 # red\r\n"), "a.off")[0])


@pytest.mark.parametrize(
    ("start", "extra", "columns"),
    [
        ("COFF\n", 4, "x,y,z,red,green,blue,alpha"),
        ("OFF\n", 3, "x,y,z,red,green,blue"),
        ("NOFF\n", 3, "x,y,z,nx,ny,nz"),
        ("CNOFF\n", 6, "x,y,z,red,green,blue,nx,ny,nz"),
        ("STOFF\n", 2, "x,y,z"),
    ],
)
def test_off_reads_what_its_keyword_says_of_vertices(start: str, extra: int, columns: str) -> None:
    table = np.column_stack([PLACES, np.full((50, extra), 0.5)])
    points, found = read(clouds.off(table, start=start), "a.off")
    assert found == columns
    assert (points[:, :3] == PLACES).all() and (points[:, 3:] == 0.5).all()


@pytest.mark.parametrize("start", ["OFF BINARY\n", "4OFF\n", "nOFF 3\n"])
def test_off_of_unread_kinds_is_refused_by_name(start: str) -> None:
    assert refused(clouds.off(PLACES, start=start), "a.off") is RejectReason.UNSUPPORTED_FORMAT


def test_off_that_is_cut_off_is_refused() -> None:
    data = clouds.off(clouds.CUBE_VERTICES, clouds.CUBE_QUADS)
    assert refused(data[: len(data) - 20], "a.off") is RejectReason.CORRUPT_POINTS
    assert refused(b"OFF\n1000000 0 0\n1 2 3\n", "a.off") is RejectReason.CORRUPT_POINTS
    assert refused(b"OFF\n1000000000000 0 0\n1 2 3\n", "a.off") is RejectReason.TOO_MANY_POINTS


def test_obj_reads_polygons_with_any_kind_of_corner() -> None:
    assert_on_cube(read(clouds.obj(clouds.CUBE_VERTICES, clouds.CUBE_QUADS), "a.obj")[0])
    plain = clouds.obj(clouds.CUBE_VERTICES, clouds.CUBE_QUADS).replace(b"/1/1", b"//2")
    assert_on_cube(read(plain.replace(b"f 1", b"  f\t1").replace(b"\n", b"\r\n"), "a.obj")[0])


def test_obj_counts_back_from_the_vertices_seen_so_far() -> None:
    vertices = "".join(f"v {line}\n" for line in clouds.lines(clouds.CUBE_VERTICES).splitlines())
    faces = "".join(f"f {' '.join(str(corner - 8) for corner in face)}\n" for face in clouds.CUBE_QUADS)
    assert_on_cube(read(f"{vertices}{faces}v 100 100 100\n".encode(), "a.obj")[0])


def test_obj_without_faces_keeps_all_vertices_and_their_colours() -> None:
    table = np.column_stack([PLACES, np.full((50, 3), 0.25)])
    points, columns = read(clouds.obj(table), "a.obj")
    assert columns == "x,y,z,red,green,blue"
    assert (points == table).all()


@pytest.mark.parametrize(
    "text",
    [
        "v 1 2\n",
        "v 1 2 3\nv 1 2\n",
        "v 0 0 0\nv \nf 1 1 2\n",
        "v 0 0 0\nf 1 1 0\n",
        "v 0 0 0\nf 1 /1 1\n",
        "v 0 0 0\nf 1 1 9\n",
    ],
)
def test_obj_with_a_fault_is_refused(text: str) -> None:
    assert refused(text.encode(), "a.obj") is RejectReason.CORRUPT_POINTS


def test_obj_of_no_vertices_has_no_points() -> None:
    assert refused(b"# nothing\n", "a.obj") is RejectReason.NO_POINTS


CUBE = clouds.CUBE_VERTICES[np.array(clouds.CUBE_TRIANGLES)]


@pytest.mark.parametrize(
    "data", [clouds.stl_binary(CUBE), clouds.stl_binary(CUBE, header=b"solid but binary"), clouds.stl_text(CUBE)]
)
def test_stl_of_every_kind_makes_a_surface(data: bytes) -> None:
    assert_on_cube(read(data, "a.stl")[0])


@pytest.mark.parametrize("data", [clouds.stl_binary(CUBE), clouds.stl_text(CUBE)])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_stl_that_is_cut_off_is_refused(data: bytes, kept: float) -> None:
    assert refused(data[: int(len(data) * kept)], "a.stl") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd_of_every_kind_gives_back_every_field(data: str) -> None:
    fields = {
        "x": PLACES[:, 0].astype(np.float64),
        "intensity": np.arange(50, dtype=np.uint16),
        "y": PLACES[:, 1],
        "z": PLACES[:, 2],
        "histogram": np.arange(100, dtype=np.int32).reshape(50, 2),
        "label": np.arange(50, dtype=np.uint8),
    }
    points, columns = read(clouds.pcd(fields, data=data), "a.pcd")
    assert columns == "x,y,z,intensity,classification,histogram_0,histogram_1"
    assert (points[:, :3] == PLACES).all()
    assert (points[:, 3:] == np.column_stack([np.arange(50), np.arange(50), fields["histogram"]])).all()


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("kind", ["<f4", "<u4", "<i4"])
def test_pcd_takes_packed_colours_apart(data: str, kind: str) -> None:
    packed = np.array([0x00FF0033] * 50, "<u4").view(kind)
    points, columns = read(clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)) | {"rgb": packed}, data=data), "a.pcd")
    assert columns == "x,y,z,red,green,blue"
    assert np.allclose(points[:, 3:], [1, 0, 0.2])


def test_pcd_padding_is_left_out_and_empty_cells_of_a_grid_are_dropped() -> None:
    places = PLACES.copy()
    places[::2] = np.nan
    data = clouds.pcd(
        {"x": places[:, 0], "y": places[:, 1], "z": places[:, 2], "_": np.zeros((50, 4), np.uint8)}, data="binary"
    )
    points, columns = read(data.replace(b"WIDTH 50\nHEIGHT 1\n", b"WIDTH 10\nHEIGHT 5\n"), "a.pcd")
    assert columns == "x,y,z"
    assert (points == PLACES[1::2]).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WIDTH 50", b"WIDTH 49"),
        (b"SIZE 4 4 4", b"SIZE 4 4"),
        (b"SIZE 4 4 4", b"SIZE 4 4 3"),
        (b"COUNT 1 1 1", b"COUNT 1 1 99999999999"),
        (b"DATA binary", b"DATA pickled"),
        (b"FIELDS x y z", b"FIELDS x y w"),
        (b"POINTS 50", b"POINTS fifty"),
    ],
)
def test_pcd_with_a_fault_in_its_header_is_refused(old: bytes, new: bytes) -> None:
    data = clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)), data="binary")
    assert old in data
    assert refused(data.replace(old, new), "a.pcd") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd_that_claims_more_than_it_holds_is_refused(data: str) -> None:
    file = clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)), data=data)
    assert refused(file.replace(b" 50\n", b" 5000000\n"), "a.pcd") is RejectReason.CORRUPT_POINTS
    assert refused(file.replace(b" 50\n", b" 5000000000000\n"), "a.pcd") is RejectReason.TOO_MANY_POINTS
    assert refused(file[: len(file) - 30], "a.pcd") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        (b"\x02abc", b"abc"),
        (b"\x00a\x20\x00", b"aaaa"),
        (b"\x02abc\x20\x02", b"abcabc"),
        (b"\x02abc\xe0\x03\x01", b"abc" + b"bc" * 6),
        (b"\x00a\xe0\xff\x00", b"a" * 265),
    ],
)
def test_lzf_repeats_even_what_it_is_writing(compressed: bytes, plain: bytes) -> None:
    assert decompress(compressed, len(plain)) == plain


@pytest.mark.parametrize(
    "compressed", [b"\x20\x00", b"\x02ab", b"\x02abc\x20", b"\x02abc\xe0", b"\x03abcd", b"\x00a\xe0\xff\x00"]
)
def test_damaged_lzf_is_refused(compressed: bytes) -> None:
    with pytest.raises(Rejection):
        decompress(compressed, 3)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("point_format", "version"), [(0, "1.2"), (3, "1.2"), (7, "1.4")])
def test_las_gives_back_scaled_coordinates_and_attributes(compressed: bool, point_format: int, version: str) -> None:
    places = np.round(clouds.places(400).astype(np.float64), 3) + np.array([500_000, 4_000_000, 0])
    attributes = {"intensity": np.arange(400, dtype=np.uint16), "classification": np.full(400, 5, np.uint8)}
    data = clouds.las(places, compressed=compressed, point_format=point_format, version=version, **attributes)
    (stored,) = store_points(Raw.of(data, name="a.las"), "points", SMALL_MESH, key="key")
    assert isinstance(stored.data, bytes)
    points, names = decode_points(stored.data), stored.facts["columns"].split(",")
    assert stored.facts["source_format"] == ("laz" if compressed else "las")
    assert np.abs(points[:, :3] + np.array(stored.facts["origin"])[:3] - places).max() < 1e-5
    assert (points[:, names.index("intensity")] == np.arange(400)).all()
    assert (points[:, names.index("classification")] == 5).all()
    assert ("red" in names, "time" in names) == (point_format in (3, 7), point_format in (3, 7))


@pytest.mark.parametrize(
    ("place", "damage", "reason"),
    [
        (100, struct.pack("<I", 1_069_128_089), RejectReason.CORRUPT_POINTS),
        (107, struct.pack("<I", 40_000_000), RejectReason.CORRUPT_POINTS),
        (107, struct.pack("<I", 4_000_000_000), RejectReason.CORRUPT_POINTS),
        (96, struct.pack("<I", 10**9), RejectReason.CORRUPT_POINTS),
        (25, b"\x09", RejectReason.UNSUPPORTED_FORMAT),
        (105, b"\x01\x00", RejectReason.CORRUPT_POINTS),
    ],
)
def test_a_las_header_that_lies_is_refused_before_it_is_believed(
    place: int, damage: bytes, reason: RejectReason
) -> None:
    data = clouds.las(PLACES)
    assert refused(data[:place] + damage + data[place + len(damage) :], "a.las") is reason


def test_laz_with_a_wrong_number_of_chunks_is_refused_before_it_is_believed() -> None:
    data = clouds.las(PLACES, compressed=True)
    (start,) = struct.unpack_from("<I", data, 96)
    (table,) = struct.unpack_from("<q", data, start)
    damaged = data[: table + 4] + struct.pack("<I", 4_000_000_000) + data[table + 8 :]
    assert refused(damaged, "a.laz") is RejectReason.CORRUPT_POINTS


def test_laz_with_more_points_than_its_chunks_hold_is_refused_before_it_is_believed() -> None:
    data = clouds.las(PLACES, compressed=True, point_format=6, version="1.4")
    assert refused(data[:247] + struct.pack("<Q", 5000) + data[255:], "a.laz") is RejectReason.CORRUPT_POINTS


def test_laz_with_a_layer_larger_than_the_file_is_refused_before_it_is_believed() -> None:
    data = clouds.las(PLACES, compressed=True, point_format=6, version="1.4")
    (start,) = struct.unpack_from("<I", data, 96)
    size = start + 8 + 30 + 4  # after the place of the chunk table, the first point, and the number of points
    for layer in range(9):
        place = size + 4 * layer
        damaged = data[:place] + struct.pack("<I", 4_000_000_000) + data[place + 4 :]
        assert refused(damaged, "a.laz") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1 2 3\n4 5 6\n", "x,y,z"),
        ("\ufeff1\t2\t3\r\n\r\n 4  5\t6 \r\n", "x,y,z"),
        ("# x y z\n1, 2, 3\n4,5 ,6", "x,y,z"),
        ("1;2;3\n4;5;6\n", "x,y,z"),
        ("X,Y,Z\n1,2,3\n4,5,6\n", "x,y,z"),
        ("//Z Y X\n3 2 1\n6 5 4\n", "x,y,z"),
        ("2\n1 2 3\n4 5 6\n", "x,y,z"),
        ("1 2 3 # one\n// two\n4 5 6\n", "x,y,z"),
        ("1 2 3 0.5\n4 5 6 7\n", "x,y,z,intensity"),
        ("1 2 3 -9 255 0 51\n4 5 6 3 1 2 3\n", "x,y,z,intensity,red,green,blue"),
        ("1 2 3 0 0 1\n4 5 6 0 -1 0\n", "x,y,z,nx,ny,nz"),
        ("1 2 3 9 -1 8\n4 5 6 9 9 9\n", "x,y,z,intensity,column4,column5"),
        ("id,x,y,z,gps_time\n9,1,2,3,100\n9,4,5,6,101\n", "x,y,z,time,id"),
    ],
)
def test_text_is_understood_whatever_separates_and_names_its_columns(text: str, columns: str) -> None:
    points, found = read(text.encode(), "a.txt")
    assert found == columns
    assert points[:, :3].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "text",
    [
        "a photograph of a cat\n",
        "1 2\n3 4\n",
        "1 2 3\n4 5\n",
        "1,2,3\n4,,6\n",
        "3\n1 2 3\n4 5 6\n",
        "2\nwater\nO 0 0 0\nH 1 0 0\n",
        "1 2 3\n4 5 six\n",
    ],
)
def test_text_that_is_no_table_of_points_is_refused(text: str) -> None:
    assert refused(text.encode(), "a.xyz") is RejectReason.CORRUPT_POINTS


def test_npy_in_columns_or_big_endian_is_stored_alike() -> None:
    for array in (np.asfortranarray(PLACES), PLACES.astype(">f4"), PLACES.astype(np.float64)):
        assert (read(clouds.npy(array), "a.npy")[0] == PLACES).all()


def test_npy_with_fields_keeps_their_names() -> None:
    table = np.zeros(50, [("rgb", "u1", (3,)), ("xyz", "f4", (3,)), ("t", "f8")])
    table["xyz"], table["rgb"] = PLACES, 255
    points, columns = read(clouds.npy(table), "a.npy")
    assert columns == "x,y,z,red,green,blue,time"
    assert (points[:, :3] == PLACES).all() and (points[:, 3:6] == 1).all()


def test_npy_that_would_have_to_be_unpickled_is_refused_unread() -> None:
    assert refused(clouds.npy(np.full((3, 3), None)), "a.npy") is RejectReason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("array", [np.zeros(9), np.zeros((3, 3, 3)), np.zeros((3, 3), complex), np.zeros((3, 3), "U1")])
def test_npy_of_another_shape_or_type_is_refused(array: np.ndarray) -> None:
    assert refused(clouds.npy(array), "a.npy") is RejectReason.UNSUPPORTED_FORMAT


def test_npy_that_claims_more_than_it_holds_is_refused() -> None:
    data = clouds.npy(PLACES)
    assert refused(data[:-1], "a.npy") is RejectReason.CORRUPT_POINTS
    assert refused(data.replace(b"(50, 3), ", b"(9999999, 3), "), "a.npy") is RejectReason.CORRUPT_POINTS
    assert refused(clouds.npy(PLACES[:, :2]), "a.npy") is RejectReason.CORRUPT_POINTS


def sweep(count: int, *attributes: Any) -> bytes:
    return np.column_stack([clouds.places(count), *attributes]).astype("<f4").tobytes()


def test_a_sweep_of_kitti_has_four_columns() -> None:
    points, columns = read(sweep(60, np.linspace(0, 0.99, 60)), "0000000012.bin")
    assert columns == "x,y,z,intensity"
    assert (points[:, :3] == clouds.places(60)).all()


@pytest.mark.parametrize("name", ["n015__LIDAR_TOP__1532402927647951.pcd.bin", "sweep.bin"])
def test_a_sweep_of_nuscenes_has_five_columns(name: str) -> None:
    points, columns = read(sweep(60, np.arange(60) % 256, np.arange(60) % 32), name)
    assert columns == "x,y,z,intensity,ring"
    assert (points[:, 4] == np.arange(60) % 32).all()


def test_a_coloured_sweep_has_six_columns() -> None:
    assert read(sweep(60, np.full((60, 3), 0.3)), "a.bin")[1] == "x,y,z,red,green,blue"


@pytest.mark.parametrize("name", ["a.bin", "a.pcd.bin"])
@pytest.mark.parametrize(
    "data", [sweep(60), sweep(60, np.full(60, -3.0)), sweep(60, np.full((60, 4), 0.3)), b"\0" * 63]
)
def test_a_sweep_of_no_known_layout_is_refused(name: str, data: bytes) -> None:
    assert refused(data, name) is RejectReason.UNKNOWN_FORMAT


def test_a_sweep_of_kitti_is_not_read_as_one_of_nuscenes_because_of_its_name() -> None:
    assert refused(sweep(60, np.linspace(0, 0.99, 60)), "a.pcd.bin") is RejectReason.UNKNOWN_FORMAT
