"""Clouds: groups of points put back at their centres."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.modalities import Points
from tests.trainers.evaluate.drawing.making import partial_plan, perfect
from trainers.evaluate.drawing.clouds import draw_cloud, draw_points
from trainers.targets.groups import GroupPoints

POINTS = Points(count=48, groups=48, neighbours=6)
"""Every point is a centre, so every point is in some group."""


def clouds(*, scale: float = 1.0) -> Tensor:
    return torch.randn(3, 48, 4, generator=torch.Generator().manual_seed(1)) * scale + scale


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_a_perfect_prediction_gives_back_the_cloud(scale: float) -> None:
    drawn = draw_cloud(perfect(GroupPoints(), POINTS, clouds(scale=scale)))
    original, _, restored = drawn.pictures.swapaxes(0, 1)
    assert (original != restored).any(axis=-1).mean() < 0.0005  # rounding moves a point to the next pixel now and then
    assert (original != 24).any(axis=-1).mean() > 0.003


def test_only_groups_that_were_seen_are_in_the_middle() -> None:
    modality = replace(POINTS, groups=8, neighbours=1)
    prediction = perfect(GroupPoints(), modality, clouds(), plan=partial_plan(8))
    painted = (draw_cloud(prediction).pictures != 24).any(axis=-1).sum(axis=(2, 3))
    assert (painted[:, 1] <= 2 * 4).all()
    assert (painted[:2, 2] > 2 * 4).all()
    assert (painted[2, 2], painted[2, 1]) <= (3 * 4, 2 * 4)


def test_a_wrong_prediction_moves_points() -> None:
    prediction = perfect(GroupPoints(), POINTS, clouds())
    moved = draw_cloud(replace(prediction, values=prediction.values + 0.3)).pictures
    right = draw_cloud(prediction).pictures
    assert np.array_equal(moved[:, :2], right[:, :2])
    assert (moved[:, 2] != right[:, 2]).any()


def test_high_points_are_drawn_above_low_ones_in_another_colour() -> None:
    picture = draw_points(np.array([[0, 0, 0.9], [0, 0, -0.9]], np.float32), side=64)
    rows = np.flatnonzero((picture != 24).any(axis=(1, 2)))
    assert rows.min() < 32 < rows.max()
    assert (picture[rows.min()].max(axis=0) != picture[rows.max()].max(axis=0)).any()
