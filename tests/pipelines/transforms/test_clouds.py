import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.randomness import Draws
from pipelines.transforms.clouds import scale_and_translate, to_unit_sphere


def clouds(batch: int, *, columns: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 50, columns, generator=generator) * torch.tensor([5.0, 0.1, 2.0, *[1.0] * (columns - 3)])


def draws(batch: int) -> Draws:
    return Draws.of(list(map(str, range(batch))), epochs=[0] * batch, seed=3)


def published_unit_sphere(cloud: np.ndarray) -> np.ndarray:
    """pc_norm of arXiv:2203.06604, official code, datasets/ShapeNet55Dataset.py."""
    centroid = np.mean(cloud, axis=0)
    cloud = cloud - centroid
    return cloud / np.max(np.sqrt(np.sum(cloud**2, axis=1)))


def test_clouds_fill_the_unit_sphere_as_published() -> None:
    given_clouds = clouds(4)
    wanted = np.stack([published_unit_sphere(cloud) for cloud in given_clouds.double().numpy()])
    assert np.allclose(to_unit_sphere(given_clouds).numpy(), wanted, atol=1e-6)


@given(st.floats(0.1, 100), st.floats(-50, 50))
def test_place_and_size_of_a_cloud_do_not_matter_to_its_normal_form(size: float, place: float) -> None:
    moved = to_unit_sphere(clouds(2).double() * size + place)
    assert torch.allclose(moved, to_unit_sphere(clouds(2).double()), atol=1e-6)


def test_a_cloud_of_one_place_and_other_columns_survive() -> None:
    assert (to_unit_sphere(torch.full((1, 5, 3), 7.0)) == 0).all()
    coloured = clouds(2, columns=6)
    assert torch.equal(to_unit_sphere(coloured)[..., 3:], coloured[..., 3:])
    assert torch.equal(scale_and_translate(coloured, draws(2))[..., 3:], coloured[..., 3:])


def test_every_cloud_is_stretched_and_shifted_along_every_axis_by_amounts_of_its_own() -> None:
    batch = 2000
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).expand(batch, 2, 3)
    moved = scale_and_translate(corners, draws(batch)).double().numpy()
    shifts, factors = moved[:, 0], moved[:, 1] - moved[:, 0]
    assert np.allclose(factors.min(axis=0), 2 / 3, atol=0.01)
    assert np.allclose(factors.max(axis=0), 3 / 2, atol=0.01)
    assert np.allclose(factors.mean(axis=0), (2 / 3 + 3 / 2) / 2, atol=0.02)
    assert np.allclose(shifts.min(axis=0), -0.2, atol=0.005)
    assert np.allclose(shifts.max(axis=0), 0.2, atol=0.005)
    assert np.abs(np.triu(np.corrcoef(np.concatenate([factors, shifts], axis=1).T), 1)).max() < 0.08


def test_a_cloud_is_moved_alike_in_every_batch() -> None:
    together = scale_and_translate(clouds(4), draws(4))
    alone = scale_and_translate(clouds(4)[2:3], Draws.of(["2"], epochs=[0], seed=3))
    assert torch.equal(together[2:3], alone)
