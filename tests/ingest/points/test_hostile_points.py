"""Damaged, lying and odd files: stored readable, or refused with a reason, and nothing else."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.points import store_points
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits, PointSettings
from pipelines.transforms.points import decode_points
from shards.schema import RejectReason
from tests.ingest.points import clouds

SMALL = IngestSettings(points=PointSettings(mesh_points=64), limits=Limits(points=100_000, points_bytes=16 << 20))
DATA = Path(__file__).parents[3].parent / "shared" / "data"

_PLACES = clouds.places(12)
_FIELDS = {"x": _PLACES[:, 0], "y": _PLACES[:, 1], "z": _PLACES[:, 2], "rgb": np.full(12, 0x102030, np.uint32)}
_MIXED = [*clouds.CUBE_QUADS[:3], *clouds.CUBE_TRIANGLES[6:]]
_CUBE = clouds.CUBE_VERTICES[np.array(clouds.CUBE_TRIANGLES)]
_TABLE = np.zeros(12, [("x", "f4"), ("y", "f4"), ("z", "f8"), ("rgb", "u1", (3,))])
_ENCODINGS = ("ascii", "binary_little_endian", "binary_big_endian")

_SEEDS = [
    *(("a.ply", clouds.ply(_PLACES, encoding=encoding)) for encoding in _ENCODINGS),
    *(("a.ply", clouds.ply(clouds.CUBE_VERTICES, clouds.CUBE_QUADS, encoding=encoding)) for encoding in _ENCODINGS),
    *(("a.ply", clouds.ply(clouds.CUBE_VERTICES, _MIXED, encoding=encoding)) for encoding in _ENCODINGS),
    ("a.off", clouds.off(clouds.CUBE_VERTICES, _MIXED)),
    ("a.off", clouds.off(np.column_stack([_PLACES, _PLACES]), start="NOFF")),
    ("a.obj", clouds.obj(clouds.CUBE_VERTICES, _MIXED)),
    ("a.stl", clouds.stl_binary(_CUBE)),
    ("a.stl", clouds.stl_text(_CUBE[:3])),
    *(("a.pcd", clouds.pcd(_FIELDS, data=data)) for data in ("ascii", "binary", "binary_compressed")),
    ("a.las", clouds.las(_PLACES)),
    ("a.las", clouds.las(_PLACES, point_format=7, version="1.4")),
    ("a.laz", clouds.las(_PLACES, compressed=True)),
    ("a.laz", clouds.las(_PLACES, compressed=True, point_format=7, version="1.4")),
    ("a.npy", clouds.npy(_PLACES.astype(np.float64))),
    ("a.npy", clouds.npy(_TABLE)),
    ("a.xyz", clouds.lines(np.column_stack([_PLACES, _PLACES])).encode()),
    ("a.csv", b"x,y,z,intensity\n" + clouds.lines(np.column_stack([_PLACES, _PLACES[:, 0]]), ",").encode()),
    ("a.bin", np.column_stack([_PLACES, np.full(12, 0.5, np.float32)]).tobytes()),
    ("a.pcd.bin", np.column_stack([_PLACES, np.ones((12, 2), np.float32)]).tobytes()),
]


def outcome(data: bytes, name: str, limited: IngestSettings = SMALL) -> int | RejectReason:
    """Return how many points were stored, or the reason why none were; what is stored must be what the facts say."""
    try:
        (stored,) = store_points(Raw.of(data, name=name), "points", limited, key="key")
    except Rejection as rejection:
        assert rejection.detail
        return rejection.reason
    assert isinstance(stored.data, bytes)
    points = decode_points(stored.data)
    facts = stored.facts
    assert points.shape == (facts["count"], len(facts["columns"].split(",")))
    assert facts["columns"].startswith("x,y,z")
    assert len(facts["origin"]) == points.shape[1]
    assert np.isfinite(points[:, :3]).all() and np.isfinite(facts["bounds"]).all()
    return len(points)


@pytest.mark.parametrize(("name", "data"), _SEEDS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(_SEEDS)])
def test_the_files_that_are_damaged_below_are_sound(name: str, data: bytes) -> None:
    assert outcome(data, name) in (12, 64)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_a_damaged_file_is_stored_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    name, seed = data.draw(st.sampled_from(_SEEDS))
    file = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(0, len(file)))] if data.draw(st.booleans()) else file
    outcome(bytes(file), name)


@pytest.mark.parametrize(("name", "data"), _SEEDS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(_SEEDS)])
def test_a_file_that_is_cut_off_anywhere_is_stored_or_refused(name: str, data: bytes) -> None:
    for kept in range(0, len(data), max(1, len(data) // 60)):
        outcome(data[:kept], name)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([name for name, _ in _SEEDS]), st.sampled_from([seed for _, seed in _SEEDS]), st.binary(max_size=99)
)
def test_any_bytes_under_any_name_are_stored_or_refused(name: str, seed: bytes, tail: bytes) -> None:
    outcome(tail, name)
    outcome(seed[:40] + tail, name)
    outcome(seed, name)


def test_signalling_nans_warn_nobody() -> None:
    table = np.column_stack([_PLACES, np.ones((12, 2), np.float32)])
    table.view(np.uint32)[3] = 0x7FA00001
    assert outcome(table.tobytes(), "a.pcd.bin") is RejectReason.UNKNOWN_FORMAT
    table.view(np.uint32)[3, 3:] = 0
    assert outcome(table.tobytes(), "a.pcd.bin") == 11


def files_in(*folders: str) -> list[Any]:
    found = [path for folder in folders for path in sorted((DATA / folder).rglob("*")) if path.is_file()]
    wanted = [path for path in found if path.suffix[1:] in ("obj", "off", "pcd", "las", "laz", "bin")]
    if not wanted:
        absent = pytest.mark.skip(reason=f"the collection of files {DATA / folders[0]} is not there")
        return [pytest.param(DATA, marks=absent)]
    return [pytest.param(path, id=path.name[-40:]) for path in wanted]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", files_in("hostile/pointcloud"))
def test_odd_files_of_others_are_stored_readable_or_refused(path: Path) -> None:
    expected = {
        "bad_vlr_count.las": 10,
        "garbage_nVariableLength.las": RejectReason.CORRUPT_POINTS,
        "no-points.las": RejectReason.NO_POINTS,
        "simple-laszip-compressor-version-1.2r0.laz": RejectReason.UNSUPPORTED_FORMAT,
    }
    assert outcome(path.read_bytes(), path.name) == expected[path.name]


@pytest.mark.parametrize("path", files_in("pointcloud_formats", "lidar_camera"))
def test_real_files_give_the_points_that_are_in_them(path: Path) -> None:
    with (DATA / "pointcloud_formats" / "files.csv").open(encoding="utf-8") as file:
        counts = {row["file"]: int(row["points_or_vertices"]) for row in csv.DictReader(file)}
    is_mesh = path.suffix in (".obj", ".off")
    expected = 64 if is_mesh else counts.get(path.name, path.stat().st_size // 4 // _width(path))
    assert outcome(path.read_bytes(), path.name) == expected


def _width(path: Path) -> int:
    return {"velodyne": 4, "nuscenes": 5, "sunrgbd": 6}.get(path.parent.name, 1)
