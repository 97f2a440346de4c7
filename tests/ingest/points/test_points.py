"""What is stored of a cloud, whatever format it came in: columns, dropped points, origin, colours, limits."""

import io
from dataclasses import replace

import numpy as np
import pytest

from ingest.points import store_points
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits
from ingest.stored import StoredField
from pipelines.transforms.points import decode_points
from shards.schema import KINDS, RejectReason
from tests.ingest.points import clouds

PLAIN = IngestSettings()


def store(data: bytes, name: str, settings: IngestSettings = PLAIN) -> StoredField:
    (stored,) = store_points(Raw.of(data, name=name), "points", settings, key="key")
    return stored


def array_of(stored: StoredField) -> np.ndarray:
    assert isinstance(stored.data, bytes)
    return decode_points(stored.data)


def reason_of(data: bytes, name: str, settings: IngestSettings = PLAIN) -> RejectReason:
    with pytest.raises(Rejection) as caught:
        store(data, name, settings)
    return caught.value.reason


def test_a_cloud_is_one_field_with_every_fact_of_its_kind() -> None:
    stored = store(clouds.npy(clouds.places(7)), "a.npy")
    assert (stored.name, stored.kind, stored.extension) == ("points", "points", "points.npy")
    assert set(KINDS["points"].facts) <= set(stored.facts)
    assert stored.facts["count"] == 7
    assert stored.facts["columns"] == "x,y,z"
    assert stored.facts["source_format"] == "npy"


def test_plain_numpy_reads_what_is_stored() -> None:
    stored = store(clouds.npy(clouds.places(5)), "a.npy")
    assert isinstance(stored.data, bytes)
    array = np.load(io.BytesIO(stored.data), allow_pickle=False)
    assert array.dtype == np.float32 and array.flags.c_contiguous
    assert (array == clouds.places(5)).all()


def test_equal_files_give_equal_bytes() -> None:
    mesh = clouds.off(clouds.CUBE_VERTICES, clouds.CUBE_QUADS)
    assert store(mesh, "a.off").data == store(mesh, "b.off").data


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_without_a_finite_place_are_dropped_and_counted(broken: float, axis: int) -> None:
    places = clouds.places(6)
    places[2, axis] = broken
    stored = store(clouds.npy(places), "a.npy")
    assert (stored.facts["count"], stored.facts["dropped"]) == (5, 1)
    assert (array_of(stored) == np.delete(clouds.places(6), 2, axis=0)).all()


def test_attributes_that_are_not_finite_stay_and_drop_nothing() -> None:
    table = np.column_stack([clouds.places(3), np.float32([1, np.nan, np.inf])])
    stored = store(clouds.npy(table), "a.npy")
    assert stored.facts["dropped"] == 0
    assert np.array_equal(array_of(stored), table, equal_nan=True)


@pytest.mark.parametrize("points", [np.empty((0, 3)), np.full((4, 3), np.nan)])
def test_a_file_without_usable_points_is_refused_as_such(points: np.ndarray) -> None:
    assert reason_of(clouds.npy(points), "a.npy") is RejectReason.NO_POINTS


def test_places_on_earth_keep_a_tenth_of_a_millimetre() -> None:
    places = clouds.places(100).astype(np.float64) + np.array([635_619.85, 4_848_899.7, 406.59])
    stored = store(clouds.npy(places), "a.npy")
    assert stored.facts["origin"] == [*np.floor(places[:, :2].min(axis=0)), 0.0]
    assert np.abs(array_of(stored) + np.array(stored.facts["origin"]) - places).max() < 1e-4
    assert np.allclose(stored.facts["bounds"], [*places.min(axis=0), *places.max(axis=0)], rtol=0, atol=1e-9)


def test_float32_coordinates_are_stored_as_they_are_however_large() -> None:
    places = clouds.places(10) * np.float32(1e6)
    stored = store(clouds.npy(places), "a.npy")
    assert stored.facts["origin"] == [0.0, 0.0, 0.0]
    assert (array_of(stored) == places).all()


def test_coordinates_below_sixteen_kilometres_are_not_moved() -> None:
    places = np.array([[16_383.9, -16_383.9, 0.0]])
    assert store(clouds.npy(places), "a.npy").facts["origin"] == [0.0, 0.0, 0.0]


def test_time_is_relative_to_the_earliest_point() -> None:
    times = 1_532_402_927.0 + np.array([0.25, 0.0, 0.5])
    table = np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("timestamp", "f8")])
    table["timestamp"] = times
    stored = store(clouds.npy(table), "a.npy")
    assert stored.facts["columns"] == "x,y,z,time"
    assert array_of(stored)[:, 3].tolist() == [0.25, 0.0, 0.5]
    assert stored.facts["origin"][3] == 1_532_402_927.0


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (np.array([[255, 0, 51]], np.uint8), [1, 0, 0.2]),
        (np.array([[1, 0, 1]], np.uint8), [1 / 255, 0, 1 / 255]),
        (np.array([[65535, 0, 13107]], np.uint16), [1, 0, 0.2]),
        (np.array([[255, 0, 51]], np.uint16), [1, 0, 0.2]),
        (np.array([[1.0, 0.0, 0.2]], np.float32), [1, 0, 0.2]),
        (np.array([[255.0, 0.0, 51.0]], np.float64), [1, 0, 0.2]),
        (np.array([[1.0, -3.0, 0.2]], np.float32), [1, 0, 0.2]),
    ],
)
def test_colours_of_any_type_end_between_nought_and_one(colours: np.ndarray, expected: list[float]) -> None:
    names = ["x", "y", "z", "r", "g", "b"]
    table = np.zeros(1, [(name, "f4" if name in "xyz" else colours.dtype) for name in names])
    for number, name in enumerate(names[3:]):
        table[name] = colours[:, number]
    stored = store(clouds.npy(table), "a.npy")
    assert stored.facts["columns"] == "x,y,z,red,green,blue"
    assert np.allclose(array_of(stored)[0, 3:], expected, atol=1e-6)


def test_known_columns_stand_in_one_order_and_foreign_ones_keep_their_names() -> None:
    names = ["nx", "Scalar Field #1", "ny", "nz", "label", "z", "y", "x", "scalar_Intensity"]
    table = np.zeros(2, [(name, "f4") for name in names])
    table["x"], table["scalar_Intensity"] = 3, 7
    stored = store(clouds.npy(table), "a.npy")
    assert stored.facts["columns"] == "x,y,z,intensity,nx,ny,nz,classification,field_1"
    assert array_of(stored)[:, [0, 3]].tolist() == [[3, 7], [3, 7]]


@pytest.mark.parametrize("names", [["x", "y", "q"], ["x", "y", "z", "Q!", "q?"]])
def test_missing_or_doubled_columns_are_refused(names: list[str]) -> None:
    table = np.zeros(2, [(name, "f4") for name in names])
    assert reason_of(clouds.npy(table), "a.npy") is RejectReason.CORRUPT_POINTS


def test_an_empty_file_is_refused_as_such() -> None:
    assert reason_of(b"", "a.ply") is RejectReason.EMPTY_FILE


def test_bytes_that_contradict_the_name_are_refused() -> None:
    assert reason_of(b"GIF89a and more", "a.ply") is RejectReason.CORRUPT_POINTS
    assert reason_of(b"GIF89a and more", "a.gif") is RejectReason.UNKNOWN_FORMAT


def test_how_a_file_begins_outweighs_its_name() -> None:
    assert store(clouds.ply(clouds.places(4)), "a.bin").facts["source_format"] == "ply"
    assert store(clouds.npy(clouds.places(4)), "a.ply").facts["source_format"] == "npy"


_EVERY_FORMAT = {
    "a.ply": clouds.ply(clouds.places(20)),
    "a.off": clouds.off(clouds.places(20)),
    "a.obj": clouds.obj(clouds.places(20)),
    "a.stl": clouds.stl_binary(clouds.places(63).reshape(-1, 3, 3)),
    "b.stl": clouds.stl_text(clouds.places(63).reshape(-1, 3, 3)),
    "a.pcd": clouds.pcd(dict(zip("xyz", clouds.places(20).T, strict=True))),
    "a.las": clouds.las(clouds.places(20)),
    "a.laz": clouds.las(clouds.places(20), compressed=True),
    "a.npy": clouds.npy(clouds.places(20)),
    "a.xyz": clouds.lines(clouds.places(20)).encode(),
    "a.bin": np.column_stack([clouds.places(20), np.full(20, 0.5, np.float32)]).tobytes(),
}


@pytest.mark.parametrize("name", _EVERY_FORMAT)
def test_every_format_obeys_the_limit_on_points(name: str) -> None:
    limited = replace(PLAIN, limits=Limits(points=19))
    assert store(_EVERY_FORMAT[name], name).facts["count"] > 0
    assert reason_of(_EVERY_FORMAT[name], name, limited) is RejectReason.TOO_MANY_POINTS


def test_a_cloud_that_would_grow_beyond_the_limit_on_bytes_is_refused() -> None:
    table = np.zeros((100, 40), np.uint8)
    limited = replace(PLAIN, limits=Limits(points_bytes=5000))
    assert len(clouds.npy(table)) < 5000
    assert reason_of(clouds.npy(table), "a.npy", limited) is RejectReason.TOO_MANY_BYTES
