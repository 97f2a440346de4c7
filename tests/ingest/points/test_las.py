import struct

import numpy as np
import pytest

from ingest.points import store_points
from ingest.raw import Raw
from pipelines.transforms.points import decode_points
from shards.schema import RejectReason
from tests.ingest.points import clouds
from tests.ingest.points.reading import PLACES, SMALL_MESH, refused


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
