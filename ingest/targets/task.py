"""One shard of a target: read, rendered ahead, shown to the teacher, stored block by block. All that a worker ever runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from distributed import get_worker
from torch import Tensor

from ingest.targets.forward import Forward
from ingest.targets.showing import Showing, ahead, showing_of
from ingest.targets.spec import Manner, compute_of, look_of_spec
from ingest.teachers import Compute
from pipelines.device.choice import Precision
from pipelines.target_coding import encode, projection_of
from shards.dataset import Dataset, Ids
from shards.errors import MaskloomError
from shards.schema import BLOCK
from shards.target_spec import TargetSpec
from shards.target_table import TargetTable
from shards.target_writer import TargetBlock, write_target_shard

AHEAD = 4
"""Batches of views that are made ahead of the teacher."""

_SHOWN_KEYS = 4

Codes = npt.NDArray[Any]


def write_targets(root: Path, spec: TargetSpec, shard: int, manner: Manner) -> int:
    """Compute and store the target of one shard; return its number of samples. What a sample has nothing of is zeros."""
    torch.set_num_threads(manner.cores)
    dataset = Dataset.open(root)
    look = look_of_spec(spec)
    device = own_device(manner.device)
    forward = _kept_forward(compute_of(spec, device), device, spec.precision, manner.batch)
    task = _ShardTask(dataset, spec, showing_of(dataset, look), forward, threads=manner.threads)
    return write_target_shard(dataset, spec, shard, task.blocks(shard))


@lru_cache(maxsize=1)
def _kept_forward(compute: Compute, device: torch.device, precision: Precision, batch: int) -> Forward:
    """Return what shows a teacher batches; kept from shard to shard, so that a batch that was halved stays small."""
    return Forward(compute, device=device, precision=precision, batch=batch)


def own_device(device: str) -> torch.device:
    """Return the device of this worker: of the GPUs it can see, the one that has its number."""
    if device == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", _worker_number() % torch.cuda.device_count())


def _worker_number() -> int:
    try:
        name = get_worker().name
    except ValueError:  # not in a worker
        return 0
    return name if isinstance(name, int) else 0


class TeacherValueError(MaskloomError):
    """A teacher said something that cannot be stored."""


class _ShardTask:
    """Computes the blocks of a shard."""

    def __init__(self, dataset: Dataset, spec: TargetSpec, showing: Showing, forward: Forward, *, threads: int) -> None:
        self._dataset = dataset
        self._spec = spec
        self._showing = showing
        self._forward = forward
        self._threads = threads
        self._projection = projection_of(TargetTable(dataset, spec))

    def blocks(self, shard: int) -> Iterator[TargetBlock]:
        """Yield keys, and what is stored of each view, for every block of a shard."""
        ids, reader = self._dataset.shard_ids(shard), self._dataset.reader(shard)
        coded = self._coded(ids)
        for block in range(-(-len(ids) // BLOCK)):
            keys = [str(key) for key in reader.facts(block, "key")]
            parts, missing = [], len(keys)
            while missing:
                parts.append(next(coded))
                missing -= len(parts[-1])
            rows = np.concatenate(parts)
            yield keys, [rows[:, k] for k in range(self._spec.num_views)]

    def _coded(self, ids: Ids) -> Iterator[Codes]:
        """Yield what is stored of runs of samples, [samples, views, ...]; a run never crosses the border of a block."""
        runs = list(self._runs(ids))
        shown = ahead(self._showing.views, runs, threads=self._threads, depth=AHEAD)
        for run, (views, present) in zip(runs, shown, strict=True):
            said = self._forward(views.flatten(0, 1))
            rows = encode(said, self._spec.coding, self._on_device(said))
            rows = rows.reshape(len(present), self._spec.num_views, *self._spec.stored_shape)
            rows[~np.array(present)] = 0
            self._require_finite(run, rows, said, present)
            yield rows

    def _require_finite(self, ids: Ids, rows: Codes, said: Tensor, present: list[bool]) -> None:
        """Refuse what float16 cannot hold, and what a teacher has no number for: it would make losses infinite."""
        finite = np.isfinite(rows.reshape(len(ids), -1)).all(axis=1)
        if said.is_floating_point():
            finite &= said.reshape(len(ids), -1).isfinite().all(dim=1).cpu().numpy() | ~np.array(present)
        if not finite.all():
            keys = self._dataset.keys(ids[~finite])
            raise TeacherValueError(
                f"Teacher '{self._spec.teacher}' says of {', '.join(keys[:_SHOWN_KEYS])} what cannot be stored as "
                f"{self._spec.coding}: numbers that are infinite, none, or beyond 65,504. Use --store float32 or int8 for "
                "large numbers, and --precision fp32 where a network overflows."
            )

    def _runs(self, ids: Ids) -> Iterator[Ids]:
        step = max(1, self._forward.batch // self._spec.num_views)
        for start in range(0, len(ids), BLOCK):
            block = ids[start : start + BLOCK]
            yield from (block[first : first + step] for first in range(0, len(block), step))

    def _on_device(self, like: Tensor) -> Tensor | None:
        return None if self._projection is None else self._projection.to(like.device)
