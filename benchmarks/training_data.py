"""Small datasets that `benchmarks.train` loads, and the endless stream that a training would open on one."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from benchmarks.contestants import Setup
from benchmarks.photographs import write_photographs
from ingest.cluster import Cluster
from ingest.run import ingest
from ingest.settings import IngestSettings
from ingest.sources.detect import open_source
from pipelines.component import Component
from pipelines.device.copy import OnDevice
from pipelines.loading import loading_by
from pipelines.modalities import Clip
from pipelines.stream import Stream
from shards.dataset import Dataset
from trainers.checking import check

SHORT_SIDE, SHARD = 256, 64
CLIPS = 16
"""More clips than these are not made: encoding one takes seconds."""


def write_training_data(folder: Path, setup: Setup, *, samples: int) -> Path:
    """Ingest photographs, or clips of 10 s with sound where the recipe has clips; return the folder of the dataset."""
    has_clips = any(isinstance(modality, Clip) for modality in setup.resolved.modalities)
    raw, dataset = folder / "raw", folder / "dataset"
    if has_clips:
        _write_clips(raw, folder / "all", count=min(samples, CLIPS))
    else:
        write_photographs(raw, samples)
    settings = IngestSettings(image_size=SHORT_SIDE, shard_size=SHARD)
    ingest(open_source(raw), dataset, settings, cluster=Cluster(workers=2), console=Console(quiet=True))
    return dataset


def _write_clips(raw: Path, everything: Path, *, count: int) -> None:
    """Write clips that have sound."""
    from benchmarks.video import clip_paths, write_clips  # needs decord, which pictures do not

    write_clips(everything, count)
    raw.mkdir(parents=True)
    for number in range(count):
        sounding, _ = clip_paths(everything, number)
        sounding.rename(raw / sounding.name)


def open_stream(root: Path, setup: Setup, *, workers: int) -> tuple[Stream, OnDevice]:
    """Return the stream that a training on a dataset reads, to be closed, and its batches on the device.

    Raises:
        MaskloomError: The dataset does not fit the recipe.
    """
    recipe, components = setup.resolved, [Component(dataset=Dataset.open(root))]
    check(recipe, components)
    stream = Stream(
        components,
        views=[recipe.fresh_views()] * recipe.num_looks,
        masking=recipe.masking,
        modalities=recipe.modalities,
        global_batch=setup.batch,
        seed=0,
        loading=loading_by(workers=workers),
        pin_memory=setup.device == "cuda",
    )
    return stream, OnDevice(stream, setup.on)
