import numpy as np
import pytest

from shards.schema import RejectReason
from tests.ingest.points import clouds
from tests.ingest.points.reading import PLACES, assert_on_cube, read, refused

CUBE = clouds.CUBE_VERTICES[np.array(clouds.CUBE_TRIANGLES)]


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


@pytest.mark.parametrize(
    "data", [clouds.stl_binary(CUBE), clouds.stl_binary(CUBE, header=b"solid but binary"), clouds.stl_text(CUBE)]
)
def test_stl_of_every_kind_makes_a_surface(data: bytes) -> None:
    assert_on_cube(read(data, "a.stl")[0])


@pytest.mark.parametrize("data", [clouds.stl_binary(CUBE), clouds.stl_text(CUBE)])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_stl_that_is_cut_off_is_refused(data: bytes, kept: float) -> None:
    assert refused(data[: int(len(data) * kept)], "a.stl") is RejectReason.CORRUPT_POINTS
