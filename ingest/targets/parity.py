"""The parity gate: what was stored against a recomputation in float32, in another batch size."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ingest.targets.forward import Forward
from ingest.targets.showing import showing_of
from ingest.targets.spec import compute_of, look_of_spec
from pipelines.randomness import hash_key
from pipelines.target_coding import decoder_of, encode, projection_of
from shards.dataset import Dataset, Ids
from shards.errors import DatasetError
from shards.target_spec import Coding, TargetSpec
from shards.target_table import TargetTable

PARITY_SAMPLES = 64
PARITY_BATCH = 7
"""Views at a time in the recomputation; not what was used before, to find a teacher whose rows influence each other."""

LEAST_COSINE = {"float16": 0.999, "float32": 0.999, "int8": 0.99}
"""What the worst row must reach. Principal components leave out as much as the user chose, so only their agreement counts."""
LEAST_AGREEMENT = 0.999
LEAST_EQUAL = 0.99
"""Share of ids that must be the same: where two codes are equally near, rounding decides."""


class ParityError(DatasetError):
    """Stored rows differ too much from a recomputation in float32; the target is not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far decoded rows are from a recomputation in float32.

    Args:
        worst_cosine: Of the row of a view that is farthest; for ids, 1 where all are the same.
        mean_cosine: Over the rows.
        largest_difference: Of one value.
        equal_ids: Share of ids that are the same; 1 for numbers.
        agreement: Cosine of the worst row with the recomputation coded in the same way: what the coding does not explain.
    """

    worst_cosine: float
    mean_cosine: float
    largest_difference: float
    equal_ids: float
    agreement: float = 1.0

    def to_json(self) -> dict[str, float]:
        """Return the measures by name."""
        return asdict(self)


def check_parity(dataset: Dataset, spec: TargetSpec, *, device: torch.device) -> Parity:
    """Recompute some samples in float32 in another batch size and compare them with what is stored.

    Raises:
        ParityError: They are farther apart than their coding explains.
    """
    look = look_of_spec(spec)
    showing, table = showing_of(dataset, look), TargetTable(dataset, spec)
    forward = Forward(compute_of(spec, device), device=device, precision="fp32", batch=PARITY_BATCH)
    decode = decoder_of(table)
    pairs = []
    for start in range(0, len(ids := parity_ids(dataset, spec)), PARITY_BATCH):
        chunk = ids[start : start + PARITY_BATCH]
        views, present = showing.views(chunk)
        kept = torch.tensor(present)
        fresh = forward(views.flatten(0, 1)).cpu().reshape(len(chunk), spec.num_views, *spec.shape)
        rows = [decode(torch.from_numpy(table.read(chunk, np.full(len(chunk), k)))) for k in range(spec.num_views)]
        pairs.append((fresh[kept].flatten(0, 1), torch.stack(rows, dim=1)[kept].flatten(0, 1)))
    fresh, stored = (torch.cat(side) for side in zip(*pairs, strict=True))
    recoded = decode(torch.from_numpy(encode(fresh, spec.coding, projection_of(table))))
    parity = replace(compare(fresh, stored, spec.coding), agreement=compare(recoded, stored, spec.coding).worst_cosine)
    _require_close(parity, dataset, spec)
    return parity


def parity_ids(dataset: Dataset, spec: TargetSpec) -> Ids:
    """Return which samples are recomputed: drawn by the target's id."""
    draws = [hash_key("parity", spec.target_id, number) % dataset.num_samples for number in range(PARITY_SAMPLES)]
    return np.unique(np.array(draws, np.int64))


def compare(fresh: Tensor, stored: Tensor, coding: Coding) -> Parity:
    """Compare rows with what was stored of them, [rows, ...]; of no rows at all, everything agrees."""
    if not len(fresh):
        return Parity(worst_cosine=1.0, mean_cosine=1.0, largest_difference=0.0, equal_ids=1.0)
    if coding.holds_ids:
        equal = (fresh == stored).float().mean().item()
        return Parity(worst_cosine=1.0, mean_cosine=1.0, largest_difference=0.0, equal_ids=equal)
    cosines = row_cosines(fresh.flatten(1).double(), stored.flatten(1).double())
    difference = (fresh.double() - stored.double()).abs().max().item()
    finite = bool(fresh.isfinite().all() and stored.isfinite().all())
    return Parity(
        worst_cosine=cosines.min().item(),
        mean_cosine=cosines.mean().item(),
        largest_difference=difference if finite else float("inf"),
        equal_ids=1.0,
    )


def row_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of every pair of rows; -1 where one is not finite, 1 where both are zero.

    Infinities and NaN, in float16 above all, compare as anything but equal: they are as far away as can be. Two rows of
    zeros (the gradients of a picture without any) agree.
    """
    lengths = first.norm(dim=1) * second.norm(dim=1)
    cosines = torch.where(lengths > 0, (first * second).sum(dim=1) / lengths, (first == second).all(dim=1).double())
    finite = first.isfinite().all(dim=1) & second.isfinite().all(dim=1)
    return torch.where(finite, cosines, -1.0)


def _require_close(parity: Parity, dataset: Dataset, spec: TargetSpec) -> None:
    if parity.equal_ids < LEAST_EQUAL:
        raise ParityError(
            f"Target {spec.target_id} of {dataset.root} is not sealed: only {parity.equal_ids:.2%} of the ids are those of a "
            f"recomputation in float32 (at least {LEAST_EQUAL:.0%} is asked). Compute it with --precision fp32."
        )
    least = -1.0 if spec.coding.components is not None else LEAST_COSINE.get(spec.coding.dtype, -1.0)
    if parity.agreement < LEAST_AGREEMENT:
        raise ParityError(
            f"Target {spec.target_id} of {dataset.root} is not sealed: a stored row and its recomputation in float32, stored "
            f"likewise, have cosine {parity.agreement:.5f} (at least {LEAST_AGREEMENT} is asked). Compute it with "
            "--precision fp32, or look at the teacher: its rows may depend on what else is in the batch."
        )
    if parity.worst_cosine < least or not np.isfinite(parity.largest_difference):
        raise ParityError(
            f"Target {spec.target_id} of {dataset.root} is not sealed: a stored row and its recomputation in float32 have "
            f"cosine {parity.worst_cosine:.5f} (at least {least} is asked). Store it as float32, or look at the teacher."
        )
