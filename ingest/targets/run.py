"""Computes a target over a whole dataset: shard tasks on a cluster, parity gate, seal. What is finished is kept."""

from __future__ import annotations

import os

import torch
from rich.console import Console

from ingest.cluster import Cluster
from ingest.executor import GPU, DaskExecutor, gpu_processes, worker_processes
from ingest.progress import Reporter
from ingest.targets.look import Look
from ingest.targets.parity import check_parity
from ingest.targets.plan import projection_for
from ingest.targets.spec import Manner, look_of_spec
from ingest.targets.task import own_device, write_targets
from pipelines.device.choice import DeviceChoice, pick_device
from shards.dataset import Dataset
from shards.errors import SettingsError
from shards.receipt import committed_shards
from shards.target_spec import SealedTarget, TargetSpec
from shards.target_table import PROJECTION, read_sealed, target_folder
from shards.target_writer import seal_target, write_projection

_MOST_THREADS = 16


def manner_of(dataset: Dataset, device: DeviceChoice, *, batch: int, workers: int) -> Manner:
    """Return how a target of a dataset is computed here.

    Raises:
        SettingsError: A GPU was asked for and there is none.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if pick_device(device).type == "cuda":
        threads = max(2, min(_MOST_THREADS, cores // torch.cuda.device_count()))
        return Manner(device="cuda", batch=batch, cores=1, threads=threads)
    # Of the shards there are, not of those that are left: a resumed run adds up in the same order.
    return Manner(device="cpu", batch=batch, cores=max(1, cores // tasks_at_once(dataset, "cpu", workers)), threads=1)


def tasks_at_once(dataset: Dataset, device: str, workers: int) -> int:
    """Return how many shards of a dataset this machine computes at a time."""
    return max(1, min(torch.cuda.device_count() if device == "cuda" else workers, dataset.manifest.num_shards))


def precompute(
    dataset: Dataset, spec: TargetSpec, *, manner: Manner, cluster: Cluster, console: Console
) -> SealedTarget:
    """Compute and store a target for all samples of a dataset, or complete an interrupted attempt, and seal it.

    Raises:
        ParityError: The stored rows are not what the teacher says in float32.
        SettingsError: The dataset is only a split, or the weights are not those of the specification.
        StorageError: The target cannot be written; what is finished is kept.
    """
    if dataset.split:
        raise SettingsError(
            f"Targets are stored for a whole dataset, not for the split '{dataset.split}': leave out ':{dataset.split}'. "
            "Every split reads its own rows."
        )
    look = look_of_spec(spec)
    _fit_projection(dataset, spec, look, manner)
    _compute_shards(dataset, spec, manner, cluster, console)
    parity = check_parity(dataset, spec, device=own_device(manner.device))
    return seal_target(dataset, spec, parity.to_json(), num_blank=_num_blank(dataset, look))


def _compute_shards(dataset: Dataset, spec: TargetSpec, manner: Manner, cluster: Cluster, console: Console) -> None:
    done = committed_shards(target_folder(dataset.root, spec.target_id))
    missing = [shard for shard in range(dataset.manifest.num_shards) if shard not in done]
    with Reporter(console, f"Teacher {spec.teacher}", dataset.num_samples) as reporter:
        reporter.resume_at(sum(dataset.shard_samples(shard) for shard in done))
        if not missing:
            return
        root = dataset.root.resolve()
        with _executor(manner, cluster, most=len(missing)) as executor:
            for samples in executor.run(write_targets, ((root, spec, shard, manner) for shard in missing)):
                reporter.advance(samples)


def _executor(manner: Manner, cluster: Cluster, *, most: int) -> DaskExecutor:
    on_gpu = manner.device == "cuda"
    workers = torch.cuda.device_count() if on_gpu else cluster.workers
    return DaskExecutor(
        workers=min(workers, most),
        scheduler=cluster.scheduler,
        embedded=gpu_processes if on_gpu else worker_processes,
        resources=GPU if on_gpu else None,
    )


def _fit_projection(dataset: Dataset, spec: TargetSpec, look: Look, manner: Manner) -> None:
    """Make what principal components are taken with, unless an earlier attempt has."""
    folder = target_folder(dataset.root, spec.target_id)
    if spec.coding.components is None or (folder / PROJECTION).exists():
        return
    projection = projection_for(dataset, look, spec.coding.components, manner=manner, precision=spec.precision)
    write_projection(dataset, spec, projection.numpy())


def _num_blank(dataset: Dataset, look: Look) -> int:
    if isinstance(look.modality, str):
        return read_sealed(dataset.root, look.modality).num_blank
    return dataset.num_samples - dataset.num_with(look.modality.field)
