"""Losses of autoencoders, which give back what a token holds: numbers with holes, classes, sets of points."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipelines.tokenizers.vq.groups import chamfer_distances

_IGNORED = -100


def measured_squared_error(
    predicted: Float[Tensor, "batch tokens dim"], wanted: Float[Tensor, "batch tokens dim"]
) -> Float[Tensor, ""]:
    """Return the mean squared difference over what is known, in float32; NaN is what is not. 0 where nothing is."""
    known = wanted.isfinite()
    differences = torch.where(known, predicted.float() - wanted.float().nan_to_num(), 0.0)
    return differences.square().sum() / known.sum().clamp(min=1)


def class_cross_entropy(
    predicted: Float[Tensor, "batch tokens scores"], wanted: Int[Tensor, "batch tokens pixels"]
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the classes of pixels, in nats; scores run by pixel, then by class.

    How many classes there are follows from the shapes. Pixels whose id is no class do not count; 0 where none does.
    """
    scores = rearrange(
        predicted.float(), "batch token (pixel kind) -> (batch token pixel) kind", pixel=wanted.shape[-1]
    )
    known = (wanted >= 0) & (wanted < scores.shape[-1])
    ids = torch.where(known, wanted, _IGNORED).flatten()
    return cross_entropy(scores, ids, ignore_index=_IGNORED, reduction="sum") / known.sum().clamp(min=1)


def group_chamfer_l1(
    predicted: Float[Tensor, "batch groups values"], wanted: Float[Tensor, "batch groups others"]
) -> Float[Tensor, ""]:
    """Return half the sum of the mean distances to the nearest point, both ways, of groups of points.

    The values of a group run by point, then by axis. Source: Point-BERT, official code, `ChamferDistanceL1`.
    """
    there, back = chamfer_distances(_in_points(predicted), _in_points(wanted))
    return (_root(there).mean() + _root(back).mean()) / 2


def group_chamfer_l2(
    predicted: Float[Tensor, "batch groups values"], wanted: Float[Tensor, "batch groups others"]
) -> Float[Tensor, ""]:
    """Return the sum of the mean squared distances to the nearest point, both ways, of groups of points; not halved.

    The values of a group run by point, then by axis. Source: Point-MAE, official code, `ChamferDistanceL2`.
    """
    there, back = chamfer_distances(_in_points(predicted), _in_points(wanted))
    return there.mean() + back.mean()


def _in_points(values: Float[Tensor, "batch groups values"]) -> Float[Tensor, "all_groups points 3"]:
    return rearrange(values.float(), "batch group (point xyz) -> (batch group) point xyz", xyz=3)


def _root(squared: Float[Tensor, "groups points"]) -> Float[Tensor, "groups points"]:
    """Return square roots whose gradient is 0, not infinite, where points coincide."""
    is_apart = squared > 0
    return torch.where(is_apart, torch.where(is_apart, squared, 1.0).sqrt(), 0.0)
