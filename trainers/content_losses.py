"""Losses of what a token holds itself: numbers with holes, classes of pixels, sets of points."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipelines.tokenizers.vq.groups import chamfer_distances
from trainers.objectives import Errors

_IGNORED = -100


def measured_squared_error(
    predicted: Float[Tensor, "batch tokens dim"], wanted: Float[Tensor, "batch tokens dim"]
) -> Errors:
    """Return squared differences over what is known at each place; NaN is what is not."""
    known, differences = _known_differences(predicted, wanted)
    return Errors(differences.square().sum(dim=-1), known.sum(dim=-1).float())


def measured_absolute_error(
    predicted: Float[Tensor, "batch tokens dim"], wanted: Float[Tensor, "batch tokens dim"]
) -> Errors:
    """Return absolute differences over what is known at each place; NaN is what is not."""
    known, differences = _known_differences(predicted, wanted)
    return Errors(differences.abs().sum(dim=-1), known.sum(dim=-1).float())


def class_cross_entropy(
    predicted: Float[Tensor, "batch tokens scores"], wanted: Int[Tensor, "batch tokens pixels"]
) -> Errors:
    """Return the cross-entropies of the classes of the pixels of each place, in nats; scores run by pixel, then by class.

    How many classes there are follows from the shapes. Pixels whose id is no class do not count.
    """
    scores = rearrange(
        predicted.float(), "batch token (pixel kind) -> (batch token pixel) kind", pixel=wanted.shape[-1]
    )
    known = (wanted >= 0) & (wanted < scores.shape[-1])
    ids = torch.where(known, wanted, _IGNORED).flatten()
    entropies = cross_entropy(scores, ids, ignore_index=_IGNORED, reduction="none").reshape(wanted.shape)
    return Errors(entropies.sum(dim=-1), known.sum(dim=-1).float())


def group_chamfer_l1(
    predicted: Float[Tensor, "batch groups values"], wanted: Float[Tensor, "batch groups others"]
) -> Errors:
    """Return half the sum of the mean distances to the nearest point, both ways, of each group of points.

    The values of a group run by point, then by axis. Source: Point-BERT, official code, `ChamferDistanceL1`.
    """
    there, back = chamfer_distances(_in_points(predicted), _in_points(wanted))
    return Errors(((_root(there).mean(dim=-1) + _root(back).mean(dim=-1)) / 2).reshape(wanted.shape[:2]))


def group_chamfer_l2(
    predicted: Float[Tensor, "batch groups values"], wanted: Float[Tensor, "batch groups others"]
) -> Errors:
    """Return the sum of the mean squared distances to the nearest point, both ways, of each group of points; not halved.

    The values of a group run by point, then by axis. Source: Point-MAE, official code, `ChamferDistanceL2`.
    """
    there, back = chamfer_distances(_in_points(predicted), _in_points(wanted))
    return Errors((there.mean(dim=-1) + back.mean(dim=-1)).reshape(wanted.shape[:2]))


def _known_differences(predicted: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return where something is known, and the differences there, 0 elsewhere."""
    known = wanted.isfinite()
    return known, torch.where(known, predicted.float() - wanted.float().nan_to_num(), 0.0)


def _in_points(values: Float[Tensor, "batch groups values"]) -> Float[Tensor, "all_groups points 3"]:
    return rearrange(values.float(), "batch group (point xyz) -> (batch group) point xyz", xyz=3)


def _root(squared: Float[Tensor, "groups points"]) -> Float[Tensor, "groups points"]:
    """Return square roots whose gradient is 0, not infinite, where points coincide."""
    is_apart = squared > 0
    return torch.where(is_apart, torch.where(is_apart, squared, 1.0).sqrt(), 0.0)
