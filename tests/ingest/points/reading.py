"""What is read of a file of points, for the tests of every format."""

import numpy as np
import pytest

from ingest.points import store_points
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, PointSettings
from pipelines.transforms.points import decode_points
from shards.schema import RejectReason
from tests.ingest.points import clouds

SMALL_MESH = IngestSettings(points=PointSettings(mesh_points=500))
PLACES = clouds.places(50)


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
