"""One shard of a target: read, rendered ahead, shown to the teacher, stored block by block. All that a worker ever runs."""

from __future__ import annotations

from collections.abc import Iterator
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
from pipelines.target_coding import encode, projection_of
from shards.dataset import Dataset, Ids
from shards.schema import BLOCK
from shards.target_spec import TargetSpec
from shards.target_table import TargetTable
from shards.target_writer import TargetBlock, write_target_shard

_AHEAD = 4
"""Batches of views that are made ahead of the teacher."""

Codes = npt.NDArray[Any]


def write_targets(root: Path, spec: TargetSpec, shard: int, manner: Manner) -> int:
    """Compute and store the target of one shard; return its number of samples. What a sample has nothing of is zeros."""
    torch.set_num_threads(manner.cores)
    dataset = Dataset.open(root)
    look = look_of_spec(spec)
    device = own_device(manner.device)
    forward = Forward(compute_of(spec, device), device=device, precision=spec.precision, batch=manner.batch)
    task = _ShardTask(dataset, spec, showing_of(dataset, look), forward, threads=manner.threads)
    return write_target_shard(dataset, spec, shard, task.blocks(shard))


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
        for views, present in ahead(self._showing.views, self._runs(ids), threads=self._threads, depth=_AHEAD):
            said = self._forward(views.flatten(0, 1))
            said = said * _where(present, self._spec.num_views, like=said)
            rows = encode(said, self._spec.coding, self._on_device(said))
            yield rows.reshape(len(present), self._spec.num_views, *self._spec.stored_shape)

    def _runs(self, ids: Ids) -> Iterator[Ids]:
        step = max(1, self._forward.batch // self._spec.num_views)
        for start in range(0, len(ids), BLOCK):
            block = ids[start : start + BLOCK]
            yield from (block[first : first + step] for first in range(0, len(block), step))

    def _on_device(self, like: Tensor) -> Tensor | None:
        return None if self._projection is None else self._projection.to(like.device)


def _where(present: list[bool], num_views: int, *, like: Tensor) -> Tensor:
    """Return 1 for the views of samples that have something to show, else 0, to be multiplied with what was said."""
    mask = torch.tensor(present, dtype=like.dtype, device=like.device).repeat_interleave(num_views)
    return mask.reshape(-1, *[1] * (like.dim() - 1))
