"""Precomputes what a teacher says about every named view of a dataset: shard tasks, parity gate, seal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from torch import Tensor

from ingest.cluster import Cluster
from ingest.executor import DaskExecutor
from ingest.progress import Reporter
from ingest.teachers import Teacher, build_teacher, teacher_settings
from pipelines.randomness import hash_key
from pipelines.transforms.image import ImageDecodeError, decode_image, render
from pipelines.views import Extent, ViewSet
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError, DatasetError, MissingFieldError, SettingsError, did_you_mean
from shards.receipt import committed_shards
from shards.sample import Sample
from shards.schema import BLOCK
from shards.target_spec import Coding
from shards.target_table import (
    STORED_TYPES,
    SealedTarget,
    TargetSpec,
    TargetTable,
    target_folder,
)
from shards.target_writer import TargetBlock, seal_target, write_target_shard

SOFTWARE = ("maskloom", "torch", "torchvision", "simplejpeg", "pillow")
PARITY_SAMPLES = 64
PARITY_BATCH = 7
"""Batch size of the recomputation; not that of the blocks, to find a teacher whose rows influence each other."""
MIN_COSINE = 0.999


class ParityError(DatasetError):
    """Stored rows differ too much from a recomputation in float32; the target is not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far stored rows are from a recomputation in float32: worst cosine, and largest absolute difference."""

    cosine: float
    difference: float


def make_spec(name: str, teacher: Teacher, views: ViewSet, dtype: str) -> TargetSpec:
    """Describe everything that decides the values of a target.

    Raises:
        SettingsError: There is no such element type.
    """
    if dtype not in STORED_TYPES:
        raise SettingsError(
            f"--dtype {dtype}: targets are stored as {', '.join(STORED_TYPES)}.{did_you_mean(dtype, STORED_TYPES)}"
        )
    return TargetSpec(
        teacher=name,
        teacher_settings=teacher_settings(teacher),
        weights_sha256=teacher.weights_sha256,
        preprocessing=teacher.preprocessing,
        views=views.to_json(),
        shape=teacher.shape,
        coding=Coding(dtype=dtype),
        software={package: version(package) for package in SOFTWARE},
    )


def precompute(dataset: Dataset, spec: TargetSpec, *, cluster: Cluster, console: Console) -> SealedTarget:
    """Compute and store a target for all samples of a dataset, or complete an interrupted attempt, and seal it.

    Raises:
        MissingFieldError: The dataset holds no images.
        ParityError: The stored rows are not what the teacher says in float32.
        StorageError: The target cannot be written; what is finished is kept.
    """
    if dataset.split:
        raise SettingsError(
            f"Targets are stored for a whole dataset, not for the split '{dataset.split}': leave out ':{dataset.split}'. "
            "Every split reads its own rows."
        )
    if "image" not in dataset.manifest.fields:
        raise MissingFieldError(f"Teacher '{spec.teacher}' looks at field 'image', which {dataset.root} does not hold.")
    done = committed_shards(target_folder(dataset.root, spec.target_id))
    missing = [shard for shard in range(dataset.manifest.num_shards) if shard not in done]
    with Reporter(console, f"Teacher {spec.teacher}", dataset.num_samples) as reporter:
        reporter.resume_at(sum(dataset.shard_samples(shard) for shard in done))
        if missing:
            with DaskExecutor(workers=min(cluster.workers, len(missing)), scheduler=cluster.scheduler) as executor:
                root = dataset.root.resolve()
                for samples in executor.run(write_targets, ((root, spec, shard) for shard in missing)):
                    reporter.advance(samples)
    parity = check_parity(dataset, spec)
    return seal_target(dataset, spec, {"worst_cosine": parity.cosine, "largest_difference": parity.difference})


def write_targets(root: Path, spec: TargetSpec, shard: int) -> int:
    """Compute and store the target of one shard; all a worker ever runs. Returns the number of samples."""
    dataset = Dataset.open(root)
    return write_target_shard(dataset, spec, shard, _blocks(dataset, spec, shard))


def _blocks(dataset: Dataset, spec: TargetSpec, shard: int) -> Iterator[TargetBlock]:
    teacher = build_teacher(spec.teacher, spec.teacher_settings)
    views = ViewSet.from_json(spec.views)
    reader = dataset.reader(shard)
    for block in range(-(-dataset.shard_samples(shard) // BLOCK)):
        samples = [reader.read(row) for row in reader.rows(block, ("image",))]
        images = render_views(dataset, samples, views)
        yield (
            [sample.key for sample in samples],
            [_as_stored(teacher.compute(images[:, k]), spec) for k in range(views.count)],
        )


def _as_stored(values: Tensor, spec: TargetSpec) -> npt.NDArray[Any]:
    return values.numpy().astype(spec.dtype)


def render_views(dataset: Dataset, samples: list[Sample], views: ViewSet) -> Tensor:
    """Return every named view of the samples: 8-bit (samples, views, 3, size, size)."""
    rendered = []
    for sample in samples:
        if "image" not in sample.fields:
            raise MissingFieldError(
                f"Sample '{sample.key}' of {dataset.root} has no image; teachers need one for each sample."
            )
        try:
            pixels = decode_image(sample.fields["image"])
        except ImageDecodeError as error:
            raise CorruptShardError(f"{dataset.root}, sample '{sample.key}': {error}") from error
        height, width = pixels.shape[:2]
        extent = Extent(height=height, width=width)
        looks = [views.view(sample.key, k, extent=extent) for k in range(views.count)]
        rendered.append(torch.stack([render(pixels, look) for look in looks]))
    return torch.stack(rendered)


def check_parity(dataset: Dataset, spec: TargetSpec) -> Parity:
    """Recompute some samples in float32 in another batch size and compare them with what is stored.

    Raises:
        ParityError: The worst cosine between a stored row and its recomputation is below 0.999.
    """
    teacher = build_teacher(spec.teacher, spec.teacher_settings)
    views = ViewSet.from_json(spec.views)
    ids = _parity_ids(dataset, spec)
    stored = _stored_rows(dataset, spec, ids)
    worst = Parity(cosine=1.0, difference=0.0)
    for start in range(0, len(ids), PARITY_BATCH):
        chunk = ids[start : start + PARITY_BATCH]
        images = render_views(dataset, dataset.read(chunk, ("image",)), views)
        for k in range(views.count):
            fresh = teacher.compute(images[:, k]).float().numpy().reshape(len(chunk), -1)
            worst = _worse(worst, fresh, stored[start : start + len(chunk), k].astype(np.float32))
    if worst.cosine < MIN_COSINE:
        raise ParityError(
            f"Target {spec.target_id} of {dataset.root} is not sealed: a stored row and its recomputation in float32 have "
            f"cosine {worst.cosine:.5f} (at least {MIN_COSINE} is asked). Store it as float32, or look at the teacher."
        )
    return worst


def _parity_ids(dataset: Dataset, spec: TargetSpec) -> Ids:
    draws = [hash_key("parity", spec.target_id, number) % dataset.num_samples for number in range(PARITY_SAMPLES)]
    return np.unique(np.array(draws, np.int64))


def _stored_rows(dataset: Dataset, spec: TargetSpec, ids: Ids) -> npt.NDArray[Any]:
    """Return the stored rows (samples, views, values) of a target that is not sealed yet."""
    table = TargetTable(dataset, spec)
    rows = [table.read(ids, np.full(len(ids), k)).reshape(len(ids), -1) for k in range(spec.num_views)]
    return np.stack(rows, axis=1)


def _worse(worst: Parity, fresh: npt.NDArray[np.float32], stored: npt.NDArray[np.float32]) -> Parity:
    # Infinities and NaN, in float16 above all, compare as anything but equal: they are as far away as can be.
    if not (np.isfinite(stored).all() and np.isfinite(fresh).all()):
        return Parity(cosine=-1.0, difference=float("inf"))
    lengths = np.linalg.norm(fresh, axis=1) * np.linalg.norm(stored, axis=1)
    # Two rows of zeros (a picture without any gradient) agree.
    cosines = np.where(
        lengths > 0, (fresh * stored).sum(axis=1) / np.maximum(lengths, 1e-30), np.all(fresh == stored, axis=1)
    )
    return Parity(
        cosine=min(worst.cosine, float(cosines.min())),
        difference=max(worst.difference, float(np.abs(fresh - stored).max())),
    )
