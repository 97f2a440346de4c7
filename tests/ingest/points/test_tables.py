from typing import Any

import numpy as np
import pytest

from shards.schema import RejectReason
from tests.ingest.points import clouds
from tests.ingest.points.reading import PLACES, read, refused


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
