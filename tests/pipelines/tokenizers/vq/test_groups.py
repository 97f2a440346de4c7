"""Groups of points, and the Chamfer distance against the official code of Point-MAE (tests/golden/fn_chamfer.json)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.modalities import Points
from pipelines.tokenizers.vq.groups import (
    chamfer_distances,
    farthest_points,
    group_points,
    in_unit_sphere,
    nearest_points,
)
from trainers.content_losses import group_chamfer_l1
from trainers.objectives import over_tokens

GOLDEN = load_file(Path(__file__).parents[3] / "golden" / "fn_chamfer.safetensors")


def golden(name: str) -> torch.Tensor:
    return next(value for key, value in GOLDEN.items() if key.rpartition("/")[2] == name)


def test_distances_and_gradients_are_those_of_the_official_code() -> None:
    first, second = (golden(name).clone().requires_grad_() for name in ("xyz1", "xyz2"))
    there, back = chamfer_distances(first, second)
    assert torch.allclose(there, golden("squared_distance_1"), atol=1e-6)
    assert torch.allclose(back, golden("squared_distance_2"), atol=1e-6)
    (there.mean() + back.mean()).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(first.grad, golden("grad_xyz1_l2"), atol=1e-6)
    assert torch.allclose(second.grad, golden("grad_xyz2_l2"), atol=1e-6)


def test_the_l1_distance_is_that_of_the_official_code() -> None:
    first, second = golden("xyz1"), golden("xyz2")
    assert first.shape[0] == second.shape[0]
    assert float(over_tokens(group_chamfer_l1(first.flatten(1)[:, None], second.flatten(1)[:, None]))) == pytest.approx(
        float(golden("l1")), abs=1e-6
    )


def test_points_that_coincide_have_a_gradient() -> None:
    points = torch.randn(1, 2, 12).requires_grad_()
    over_tokens(group_chamfer_l1(points, points.detach().clone())).backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_farthest_points_start_at_the_first_and_lie_apart() -> None:
    line = torch.tensor([[0.0, 1, 2, 3, 10, 4]])[..., None] * torch.tensor([1.0, 0, 0])
    assert farthest_points(line, 4).tolist() == [[0, 4, 5, 2]]


def test_nearest_points_run_from_the_nearest_on() -> None:
    line = torch.tensor([[0.0, 5, 2, 9]])[..., None] * torch.tensor([1.0, 0, 0])
    assert nearest_points(line, line[:, :1], 3).tolist() == [[[0, 2, 1]]]


def test_groups_are_in_coordinates_from_their_centres_in_a_sphere_of_radius_one() -> None:
    cloud = torch.randn(2, 50, 5) * 30 + 100
    groups = group_points(cloud, Points(count=50, groups=7, neighbours=4, columns=5))
    whole = in_unit_sphere(cloud[..., :3])
    assert whole.norm(dim=-1).amax(dim=1).tolist() == pytest.approx([1.0, 1.0])
    assert (groups.points[:, :, 0] == 0).all()
    for sample, centres, points in zip(whole, groups.centres, groups.points, strict=True):
        places = (centres[:, None] + points).reshape(-1, 3)
        assert torch.cdist(places, sample).amin(dim=1).max() < 1e-3


def test_a_cloud_of_one_place_is_not_divided_by_zero() -> None:
    assert (in_unit_sphere(torch.full((1, 9, 3), 4.0)) == 0).all()
