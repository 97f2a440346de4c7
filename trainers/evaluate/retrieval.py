"""Retrieval across modalities: given one modality of a sample, is the other one found among those of all samples?

Vectors are compared as they are, and after a linear map from one modality to the other that was fitted on other samples: the
first asks whether training has put both into one space, the second whether each tells enough about the other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from trainers.evaluate.features import one_in_five
from trainers.evaluate.probes import FEWEST, Score

CUTS = (1, 5, 10)
"""How many of the best candidates are looked at."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties that are tried on held-out samples, in units of the mean variance of what is mapped."""
AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Samples that have both modalities, and the vectors of each, by what made them; on the CPU, float32."""

    keys: tuple[str, ...]
    first: Mapping[str, Float[Tensor, "samples _"]]
    second: Mapping[str, Float[Tensor, "samples _"]]

    def rows(self, kept: Bool[Tensor, " samples"]) -> "Pairs":
        """Return the samples for which `kept` is true."""
        return Pairs(
            keys=tuple(key for key, keep in zip(self.keys, kept.tolist(), strict=True) if keep),
            first={name: vectors[kept] for name, vectors in self.first.items()},
            second={name: vectors[kept] for name, vectors in self.second.items()},
        )


def split_pairs(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Return four of five samples to fit maps on and one of five to test, by the hash of the key."""
    is_test = one_in_five(pairs.keys, purpose="test")
    return pairs.rows(~is_test), pairs.rows(is_test)


def retrieve(train: Pairs, test: Pairs) -> dict[str, Any]:
    """Return recalls among the samples of `test` by what made the vectors, by way of comparing, by direction and cut.

    Maps are fitted on `train`. Vectors are compared directly only if both have one width. With too few samples, the reason
    why there is nothing.
    """
    if min(len(train.keys), len(test.keys)) < FEWEST:
        return {
            "skipped": f"{len(train.keys)} samples with both modalities to fit on and {len(test.keys)} to test on are too "
            f"few; at least {FEWEST} of each are needed"
        }
    scores = {name: _ways(train, test, name) for name in train.first}
    chance = {str(cut): min(1.0, cut / len(test.keys)) for cut in CUTS}
    return {"train_samples": len(train.keys), "test_samples": len(test.keys), "chance": chance, "scores": scores}


def _ways(train: Pairs, test: Pairs, name: str) -> dict[str, Any]:
    """Return the recalls of both ways of comparing."""
    held_out = one_in_five(train.keys, purpose="held out")
    first, second = test.first[name], test.second[name]
    there = linear_map(train.first[name], train.second[name], held_out=held_out)(first)
    back = linear_map(train.second[name], train.first[name], held_out=held_out)(second)
    mapped = {"forth": recalls(there, second), "back": recalls(back, first)}
    if first.shape[1] != second.shape[1]:
        return {"mapped": mapped}
    return {"direct": {"forth": recalls(first, second), "back": recalls(second, first)}, "mapped": mapped}


def recalls(queries: Float[Tensor, "samples width"], candidates: Float[Tensor, "samples width"]) -> dict[str, Any]:
    """Return how often a sample's own candidate is among the nearest by cosine, by cut, each with its 95 % interval.

    Vectors are taken from their mean. A candidate that is as near as the right one counts as nearer, so that vectors which
    are all the same find nothing.
    """
    ranks = ranks_of(queries - queries.mean(dim=0), candidates - candidates.mean(dim=0))
    true = torch.ones_like(ranks)
    return {str(cut): asdict(Score.of((ranks < cut).long(), true)) for cut in CUTS}


def ranks_of(
    queries: Float[Tensor, "samples width"], candidates: Float[Tensor, "samples width"]
) -> Int[Tensor, " samples"]:
    """Return how many other candidates are at least as near to each query as its own."""
    rows, others = normalize(queries, dim=-1), normalize(candidates, dim=-1)
    ranks = []
    for start in range(0, len(rows), AT_ONCE):
        # What is no number is as far away as can be, and found by nobody.
        cosines = (rows[start : start + AT_ONCE] @ others.T).nan_to_num(-torch.inf)
        own = cosines.diagonal(offset=start)[:, None]
        ranks.append((cosines >= own).sum(dim=1) - 1)
    return torch.cat(ranks)


@dataclass(frozen=True)
class LinearMap:
    """From vectors to vectors: `(values - mean) @ weight + bias`."""

    mean: Float[Tensor, " width"]
    weight: Float[Tensor, "width other"]
    bias: Float[Tensor, " other"]

    def __call__(self, values: Float[Tensor, "samples width"]) -> Float[Tensor, "samples other"]:
        """Return the mapped vectors."""
        return (values - self.mean) @ self.weight + self.bias


def linear_map(
    given: Float[Tensor, "samples width"], wanted: Float[Tensor, "samples other"], *, held_out: Bool[Tensor, " samples"]
) -> LinearMap:
    """Fit `wanted` from `given` by least squares with the penalty that predicts the held-out samples best."""
    errors = {
        ridge: (_fitted(given[~held_out], wanted[~held_out], ridge)(given[held_out]) - wanted[held_out]).square().mean()
        for ridge in RIDGES
    }
    return _fitted(given, wanted, min(errors, key=lambda ridge: float(errors[ridge])))


def _fitted(given: Tensor, wanted: Tensor, ridge: float) -> LinearMap:
    """Solve in double precision; with more values than samples, by the products of samples."""
    mean, bias = given.double().mean(dim=0), wanted.double().mean(dim=0)
    rows, goals = given.double() - mean, wanted.double() - bias
    penalty = ridge * rows.square().mean() * len(rows) + torch.finfo(torch.float32).tiny
    if rows.shape[1] <= len(rows):
        gram = rows.T @ rows
        weight = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), rows.T @ goals)
    else:
        gram = rows @ rows.T
        weight = rows.T @ torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), goals)
    return LinearMap(mean.float(), weight.float(), bias.float())
