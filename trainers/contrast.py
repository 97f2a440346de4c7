"""Losses over pairs: which of many belong together."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from trainers.exchange import averaged, gathered, rank
from trainers.objectives import FEWEST

_NEVER = -1e7
"""The logit of what cannot be chosen."""

Directions = Literal["both", "first"]
"""Look for the partner both ways, or only for the first of a pair, given the second."""


def contrastive_loss(
    first: Float[Tensor, "batch width"],
    second: Float[Tensor, "batch width"],
    *,
    present: Bool[Tensor, " batch"],
    temperature: float,
    directions: Directions,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of finding the partner of each row among the rows of all processes, by cosine.

    Rows that are not `present` neither look nor are found. Given the mean over processes, it is the loss of all rows in
    one process, and so is its gradient. 0 where no row is present. Source: van den Oord et al., arXiv:1807.03748, equation 4;
    with both directions, Radford et al., arXiv:2103.00020, figure 3 (the mean of the two).
    """
    rows = [functional.normalize(values.float(), dim=-1) for values in (first, second)]
    others = [gathered(values) for values in rows]
    absent = ~gathered(present)
    own = rank() * len(first) + torch.arange(len(first), device=first.device)
    looking = [(rows[1], others[0])] if directions == "first" else [(rows[1], others[0]), (rows[0], others[1])]
    entropies = torch.stack(
        [
            functional.cross_entropy(
                (mine @ candidates.T / temperature).masked_fill(absent, _NEVER), own, reduction="none"
            )
            for mine, candidates in looking
        ]
    ).mean(dim=0)
    found = torch.where(present, entropies, 0.0)
    return found.sum() / averaged(present.float().sum()).clamp(min=FEWEST)


def matching_loss(scores: Float[Tensor, "batch 2"], *, present: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of telling pairs as they are (first column) from pairs put together (second).

    A pair that was put together needs both samples: the one in its row and the one before it; in a batch of one there is none.
    """
    wanted = torch.tensor([1.0, 0.0], device=scores.device).expand_as(scores)
    entropies = functional.binary_cross_entropy_with_logits(scores.float(), wanted, reduction="none")
    together = present & present.roll(1) & (len(present) > 1)
    counted = torch.stack([present, together], dim=1)
    return torch.where(counted, entropies, 0.0).sum() / averaged(counted.float().sum()).clamp(min=FEWEST)
