"""Groups of points of a cloud: centres that lie far from each other, and the nearest points of each."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.modalities import Points


@dataclass(frozen=True, kw_only=True)
class PointGroups:
    """Groups, each in coordinates from its centre, and the centres in those of the cloud."""

    centres: Float[Tensor, "batch groups 3"]
    points: Float[Tensor, "batch groups neighbours 3"]


def group_points(clouds: Float[Tensor, "batch count columns"], modality: Points) -> PointGroups:
    """Return the groups of each cloud after it was moved and scaled to mean 0 and radius 1; attributes are left out."""
    return groups_as_placed(in_unit_sphere(clouds[..., :3].float()), modality)


def groups_as_placed(places: Float[Tensor, "batch count 3"], modality: Points) -> PointGroups:
    """Return the groups of each cloud where it is (Pang et al., arXiv:2203.06604, section 3.1).

    The first centre is the first point, so equal rows give equal groups. Points of a group run from the nearest on.
    """
    centres = _rows(places, farthest_points(places, modality.groups))
    nearest = nearest_points(places, centres, modality.neighbours)
    flat = _rows(places, nearest.flatten(1))
    around = rearrange(flat, "batch (group point) xyz -> batch group point xyz", point=modality.neighbours)
    return PointGroups(centres=centres, points=around - centres[:, :, None])


def in_unit_sphere(places: Float[Tensor, "batch count 3"]) -> Float[Tensor, "batch count 3"]:
    """Return clouds with their mean at 0 and their farthest point at distance 1; a cloud of one place is all 0."""
    centred = places - places.mean(dim=1, keepdim=True)
    reach = centred.norm(dim=-1).amax(dim=1)[:, None, None]
    scaled: Tensor = centred / reach.clamp(min=torch.finfo(centred.dtype).tiny)
    return scaled


def farthest_points(places: Float[Tensor, "batch count 3"], count: int) -> Int[Tensor, "batch {count}"]:
    """Return the numbers of `count` points: first point 0, then always the one farthest from all that were taken.

    Of points that are equally far, the first is taken (Qi et al., arXiv:1706.02413, section 3.2).
    """
    batch = torch.arange(len(places), device=places.device)
    chosen = places.new_zeros((len(places), count), dtype=torch.long)
    distance = places.new_full(places.shape[:2], torch.inf)
    for place in range(1, count):
        last = places[batch, chosen[:, place - 1]]
        distance = torch.minimum(distance, (places - last[:, None]).square().sum(dim=-1))
        chosen[:, place] = distance.argmax(dim=1)
    return chosen


def nearest_points(
    places: Float[Tensor, "batch count 3"], centres: Float[Tensor, "batch groups 3"], neighbours: int
) -> Int[Tensor, "batch groups {neighbours}"]:
    """Return the numbers of the points nearest to each centre, the nearest first."""
    distances = torch.cdist(centres, places, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(neighbours, dim=-1, largest=False, sorted=True).indices


def chamfer_distances(
    first: Float[Tensor, "batch first 3"], second: Float[Tensor, "batch second 3"]
) -> tuple[Float[Tensor, "batch first"], Float[Tensor, "batch second"]]:
    """Return the squared distance from each point to the nearest of the other cloud, both ways.

    Gradients flow through the nearest pairs alone.
    """
    squared = (first[:, :, None] - second[:, None]).square().sum(dim=-1)
    return squared.amin(dim=2), squared.amin(dim=1)


def _rows(
    places: Float[Tensor, "batch count 3"], index: Int[Tensor, "batch chosen"]
) -> Float[Tensor, "batch chosen 3"]:
    return places.gather(1, index[:, :, None].expand(-1, -1, 3))
