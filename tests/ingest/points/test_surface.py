import numpy as np
import pytest
import trimesh

from ingest.points import store_points
from ingest.points.surface import draw_points, fan
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, PointSettings
from pipelines.randomness import generator_for
from pipelines.transforms.points import decode_points
from shards.schema import RejectReason
from tests.ingest.points import clouds


def drawn(vertices: np.ndarray, triangles: object, count: int = 20_000, **columns: np.ndarray) -> dict[str, np.ndarray]:
    named = dict(zip("xyz", vertices.T, strict=True)) | columns
    generator = generator_for(seed=0, epoch=0, key="key", purpose="test")
    return draw_points(named, np.array(triangles, np.int64).reshape(-1, 3), count, generator)


def stored(data: bytes, name: str, *, key: str = "key", seed: int = 0) -> np.ndarray:
    settings = IngestSettings(seed=seed, points=PointSettings(mesh_points=300))
    (field,) = store_points(Raw.of(data, name=name), "points", settings, key=key)
    assert isinstance(field.data, bytes)
    return decode_points(field.data)


def test_polygons_are_cut_into_fans() -> None:
    counts, corners = np.array([3, 2, 5, 0, 4]), np.arange(14)
    triangles = fan(counts, corners, vertices=14)
    assert triangles is not None
    assert triangles.tolist() == [[0, 1, 2], [5, 6, 7], [5, 7, 8], [5, 8, 9], [10, 11, 12], [10, 12, 13]]


@pytest.mark.parametrize("counts", [[], [2], [1, 0, 2]])
def test_edges_and_points_make_no_surface(counts: list[int]) -> None:
    assert fan(np.array(counts, np.int64), np.zeros(sum(counts), np.int64), vertices=1) is None


def test_points_are_uniform_by_area() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [14, 0, 0], [10, 3, 0], [20, 0, 0]], np.float32)
    points = drawn(vertices, [(0, 1, 2), (3, 4, 5), (3, 3, 6)])
    is_small = points["x"] < 5
    assert abs(is_small.mean() - 0.5 / 6.5) < 0.006
    large = np.column_stack([points["x"][~is_small], points["y"][~is_small]])
    assert np.allclose(large.mean(axis=0), [10 + 4 / 3, 1], atol=0.03)  # a triangle's centre of mass
    assert np.allclose(large.var(axis=0), [16 / 18, 9 / 18], rtol=0.05)
    assert (large[:, 0] - 10 <= 4 - large[:, 1] * 4 / 3 + 1e-5).all()


def test_normals_follow_the_order_of_corners() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    assert (drawn(vertices, [(0, 1, 2)], 9)["nz"] == 1).all()
    assert (drawn(vertices, [(0, 2, 1)], 9)["nz"] == -1).all()


def test_colours_of_vertices_are_interpolated() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    points = drawn(vertices, [(0, 1, 2)], red=vertices[:, 0], green=vertices[:, 1], blue=np.full(3, 0.5, np.float32))
    assert np.allclose(points["red"], points["x"]) and np.allclose(points["green"], points["y"])
    assert np.allclose(points["blue"], 0.5)


@pytest.mark.parametrize("triangles", [[(0, 0, 0)], [(0, 1, 2)], []])
def test_a_surface_without_area_has_no_points(triangles: list[tuple[int, int, int]]) -> None:
    vertices = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]], np.float32)
    with pytest.raises(Rejection) as caught:
        drawn(vertices, triangles)
    assert caught.value.reason is RejectReason.NO_POINTS


def test_the_same_key_gives_the_same_points_and_another_key_or_seed_others() -> None:
    mesh = clouds.off(clouds.CUBE_VERTICES, clouds.CUBE_QUADS)
    points = stored(mesh, "a.off")
    assert (stored(mesh, "b.off") == points).all()
    assert not (stored(mesh, "a.off", key="other") == points).all()
    assert not (stored(mesh, "a.off", seed=1) == points).all()


def test_the_format_of_a_mesh_does_not_change_its_points() -> None:
    faces, vertices = clouds.CUBE_TRIANGLES, clouds.CUBE_VERTICES
    points = stored(clouds.off(vertices, faces), "a.off")
    assert (stored(clouds.obj(vertices, faces), "a.obj") == points).all()
    assert (stored(clouds.ply(vertices, faces), "a.ply") == points).all()
    assert (stored(clouds.stl_binary(vertices[np.array(faces)]), "a.stl") == points).all()


def test_triangles_at_vertices_without_a_place_are_left_out() -> None:
    vertices = clouds.CUBE_VERTICES.copy()
    vertices[7] = np.nan
    settings = IngestSettings(points=PointSettings(mesh_points=300))
    raw = Raw.of(clouds.ply(vertices, clouds.CUBE_TRIANGLES, encoding="binary_big_endian"), name="a.ply")
    (field,) = store_points(raw, "points", settings, key="key")
    assert isinstance(field.data, bytes)
    assert field.facts["dropped"] == 1
    points = decode_points(field.data)[:, :3]
    assert np.isfinite(points).all()
    assert points.max(axis=1).mean() < 0.9


def test_a_sphere_is_covered_as_trimesh_measures_it() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=2)
    points = drawn(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    normals = np.column_stack([points[name] for name in ("nx", "ny", "nz")])
    expected = (np.asarray(mesh.face_normals) * np.asarray(mesh.area_faces)[:, None]).sum(axis=0) / mesh.area
    assert np.allclose(normals.mean(axis=0), expected, atol=0.02)
    places = np.column_stack([points[name] for name in "xyz"])
    assert np.allclose((places * normals).sum(axis=1), 1, atol=0.05)  # all on the sphere, all normals outwards
