"""How fast a dataset streams on this machine, and where the time goes."""

import cProfile
import inspect
import pstats
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from pipelines.component import Component, ComponentReader
from pipelines.filling import Filling
from pipelines.loading import Here, Loading
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Clip, Image, LogMel, Modality, Points, Raster, Text, Waveform
from pipelines.reader import BatchReader
from pipelines.stream import Stream
from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.views import FreshViews, RandomClip, RandomResizedCrop, TimePolicy, WholeSpan
from pipelines.visits import SampleBatches
from shards.dataset import Dataset
from shards.errors import MissingFieldError, did_you_mean
from shards.schema import BLOCK

PATCH = 16
CLIP_FRAMES = 8
SOUND_SAMPLES, SOUND_PATCH = 160_000, 400
TEXT_LENGTH = 128

STAGES: Mapping[str, Sequence[Callable[..., Any]]] = {
    "order": (SampleBatches.batch, SampleBatches.part),
    "read and check": (Dataset.read_each,),
    "choose views": (ComponentReader._look,),
    "decode and render": (ComponentReader.render,),
    "labels": (Filling._read_beside,),
    "mask": (BatchReader._plans,),
}
"""The functions that make up each stage, all of which every batch calls; whatever else is done for it is `assemble`."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What a stream does by one way of loading.

    Args:
        samples: Samples that were read.
        seconds: Wall time.
        cpu_seconds: User and system time of this process and its workers.
        waited_seconds: Wall time that the one who takes the batches waited for them.
    """

    samples: int
    seconds: float
    cpu_seconds: float
    waited_seconds: float

    @property
    def cpu_seconds_per_sample(self) -> float:
        """User and system time that a sample takes."""
        return self.cpu_seconds / self.samples


def streamed_modalities(dataset: Dataset, fields: Sequence[str], *, size: int) -> list[Modality]:
    """Return what streams from a dataset: the given fields, or all that can be decoded.

    Raises:
        MissingFieldError: There is no such field, or none that can be decoded.
    """
    held = dataset.manifest.kinds
    for field in fields:
        if field not in held:
            raise MissingFieldError(
                f"The field '{field}' was asked for; {dataset.root} holds {', '.join(held)}.{did_you_mean(field, held)}"
            )
    found = [_modality(dataset, field, size=size) for field in held if field in (fields or held)]
    chosen = [modality for modality in found if modality is not None]
    if not chosen:
        raise MissingFieldError(
            f"Nothing of {', '.join(fields or held)} in {dataset.root} can be streamed: labels and metadata are not decoded."
        )
    return chosen


def _modality(dataset: Dataset, field: str, *, size: int) -> Modality | None:
    """Return what a field is streamed as; None if it is not decoded."""
    match dataset.manifest.kinds[field]:
        case "image":
            return Image(size=size, patch=PATCH, field=field)
        case "frames" | "clip":
            return Clip(size=size, patch=PATCH, frames=CLIP_FRAMES, field=field)
        case "logmel":
            return LogMel(bins=_fact(dataset, f"{field}.bins"), field=field)
        case "audio":
            return Waveform(samples=SOUND_SAMPLES, patch=SOUND_PATCH, field=field)
        case "points":
            return Points(field=field)
        case "text":
            return Text(length=TEXT_LENGTH, tokenizer=ByteTokenizer(), field=field)
        case "raster" | "ids" as kind:
            channels = _fact(dataset, f"{field}.channels")
            return Raster(size=size, patch=PATCH, field=field, channels=channels, is_ids=kind == "ids")
        case _:
            return None


def _fact(dataset: Dataset, column: str) -> int:
    """Return a fact that samples share, from the first samples that have it."""
    return int(dataset.column(np.arange(min(BLOCK, dataset.num_samples)), column).max())


def open_bench(dataset: Dataset, modalities: Sequence[Modality], *, batch: int, loading: Loading) -> Stream:
    """Return a stream as a training would open it: random crops and clips, three quarters of the tokens masked."""
    sizes = [modality.size for modality in modalities if isinstance(modality, Image | Clip | Raster)]
    crop = (
        RandomResizedCrop(size=sizes[0], scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
        if sizes
        else None
    )
    return Stream(
        [Component(dataset=dataset)],
        modalities=modalities,
        views=FreshViews(policy=crop, time=_time_policy(modalities)),
        masking={modality.name: RandomPatches(ratio=0.75) for modality in modalities},
        global_batch=batch,
        seed=0,
        loading=loading,
    )


def measure(stream: Stream, *, batches: int, ahead: int = 0, step_seconds: float = 0.0) -> Throughput:
    """Take batches of a stream, pausing after each as a training step would, and close it.

    Before that, `ahead` batches and two more are taken in the same way and not counted: the first ones start workers and
    open files, and while a stream runs up to the `ahead` batches that it reads ahead, it does more than is taken of it.
    """
    with closing(stream):
        _take(stream, ahead + 2, step_seconds)
        cpu, started = _cpu_seconds(), time.perf_counter()
        samples, waited = _take(stream, batches, step_seconds)
        seconds, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    return Throughput(samples=samples, seconds=seconds, cpu_seconds=cpu, waited_seconds=waited)


def _take(stream: Stream, batches: int, step_seconds: float) -> tuple[int, float]:
    """Take batches, pausing after each; return the samples in them and the seconds of waiting for them."""
    samples, waited = 0, 0.0
    for _ in range(batches):
        asked = time.perf_counter()
        samples += len(next(stream))
        waited += time.perf_counter() - asked
        time.sleep(step_seconds)
    return samples, waited


def _cpu_seconds() -> float:
    """Return the user and system time of this process and of its children that live."""
    children = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time() + float(sum(times.user + times.system for times in children))


def profile(
    dataset: Dataset, modalities: Sequence[Modality], *, batch: int, batches: int, cpu_seconds: float
) -> dict[str, float]:
    """Return how many seconds of processor time a sample takes, by stage, when batches are made in this process.

    A profiler tells the shares. What it costs itself, for every call of a Python function, is in them: stages of many
    small calls look larger than they are. All are scaled, so that they add up to `cpu_seconds`, which is what a sample
    takes without a profiler: `measure` it in the same process, with the loading `Here`.

    Raises:
        KeyError: A function of a stage has not been called.
    """
    stream = open_bench(dataset, modalities, batch=batch, loading=Here())
    profiler = cProfile.Profile(time.process_time, builtins=False)
    with closing(stream):
        _take(stream, 2, 0.0)
        profiler.enable()
        _take(stream, batches, 0.0)
        profiler.disable()
    stages = _by_stage(pstats.Stats(profiler))
    scale = cpu_seconds / sum(stages.values())
    return {stage: scale * seconds for stage, seconds in stages.items()}


def _by_stage(stats: pstats.Stats) -> dict[str, float]:
    """Return the seconds that were spent in the functions of each stage and in what they call."""
    cumulative = {place: numbers[3] for place, numbers in stats.stats.items()}  # type: ignore[attr-defined]
    stages = {stage: sum(cumulative[_place(function)] for function in each) for stage, each in STAGES.items()}
    return stages | {"assemble": cumulative[_place(Stream.__next__)] - sum(stages.values())}


def _place(function: Callable[..., Any]) -> tuple[str, int, str]:
    """Return how a profile names a function, or the one that decorators stand before."""
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def _time_policy(modalities: Sequence[Modality]) -> TimePolicy | None:
    if any(isinstance(modality, Clip) for modality in modalities):
        return RandomClip(count=CLIP_FRAMES, stride=1)
    return WholeSpan() if any(isinstance(modality, LogMel | Waveform) for modality in modalities) else None
