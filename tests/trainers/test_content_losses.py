"""Losses of autoencoders: what is not known does not count."""

import math

import pytest
import torch

from trainers.content_losses import class_cross_entropy, group_chamfer_l1, measured_squared_error
from trainers.objectives import over_tokens

NAN = float("nan")


def test_what_was_not_measured_neither_counts_nor_teaches() -> None:
    predicted = torch.tensor([[[1.0, 5.0, 3.0]]], requires_grad=True)
    loss = over_tokens(measured_squared_error(predicted, torch.tensor([[[0.0, NAN, 1.0]]])))
    loss.backward()
    assert loss.item() == 2.5
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[[1.0, 0.0, 2.0]]]


def test_a_batch_without_any_measurement_has_no_loss() -> None:
    assert over_tokens(measured_squared_error(torch.ones(1, 2, 3), torch.full((1, 2, 3), NAN))).item() == 0


def test_scores_run_by_pixel_then_by_class() -> None:
    scores = torch.zeros(1, 1, 2, 3)
    scores[..., 0, 2] = scores[..., 1, 0] = 50
    assert over_tokens(class_cross_entropy(scores.flatten(2), torch.tensor([[[2, 0]]]))).item() == pytest.approx(
        0, abs=1e-6
    )


def test_ids_that_are_no_class_do_not_count() -> None:
    scores = torch.zeros(1, 1, 6)
    assert over_tokens(class_cross_entropy(scores, torch.tensor([[[-1, 1]]]))).item() == pytest.approx(math.log(3))
    assert over_tokens(class_cross_entropy(scores, torch.tensor([[[255, 3]]]))).item() == 0


def test_the_order_of_points_does_not_matter() -> None:
    points = torch.randn(2, 3, 5, 3)
    assert over_tokens(group_chamfer_l1(points.flatten(2), points.flip(2).flatten(2))).item() == 0
