"""How much of the time of `maskloom targets` a teacher computes: from shards to stored rows, beside views already in memory.

    python -m benchmarks.teaching [--device cuda]

A vision transformer of timm with random weights is shown the same views twice: rendered before, in memory on the host; and
as a worker of `maskloom targets` does it: read, checked, decoded, cropped, shown, coded, written, hashed. On a CPU, CPU-seconds
are compared; on a GPU, wall time, because there the question is whether the GPU waits.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from rich.console import Console
from safetensors.torch import save_file

from benchmarks.measure import (
    Arm,
    RatioTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from benchmarks.photographs import write_photographs
from ingest.cluster import Cluster
from ingest.run import ingest
from ingest.settings import IngestSettings
from ingest.sources.detect import FolderLabels, open_source
from ingest.targets.forward import Forward
from ingest.targets.look import Look, Wish, look_of
from ingest.targets.run import manner_of
from ingest.targets.showing import showing_of
from ingest.targets.spec import Manner, default_precision, make_spec
from ingest.targets.task import own_device, write_targets
from ingest.teachers import new_teacher
from shards.dataset import Dataset
from shards.target_spec import Coding, TargetSpec
from shards.target_table import TARGETS

IN_MEMORY, FROM_SHARDS = "views in memory", "from shards to stored rows"
TARGET = RatioTarget(claim="teacher, from shards / in memory", arm=FROM_SHARDS, peer=IN_MEMORY, at_least=0.9)
PACKAGES = ("maskloom", "torch", "torchvision", "timm", "simplejpeg", "pyarrow")


def write_dataset(folder: Path, pictures: int) -> Dataset:
    """Ingest some photographs into one shard."""
    write_photographs(folder / "photographs", pictures)
    source = open_source(str(folder / "photographs"), columns=(), fields=(), root=None, labels=FolderLabels.AUTO)
    settings = IngestSettings(image_size=256, shard_size=pictures)
    ingest(source, folder / "dataset", settings, cluster=Cluster(workers=2), console=Console(quiet=True))
    return Dataset.open(folder / "dataset")


def write_weights(folder: Path, model: str) -> Path:
    """Write seeded random weights as timm publishes weights."""
    torch.manual_seed(0)
    network, path = timm.create_model(model, num_classes=0), folder / "weights.safetensors"
    save_file(network.state_dict(), path, metadata={"timm": json.dumps({"architecture": model, "model_args": {}})})
    return path


def seconds_per_view(work: Callable[[], int], *, on_gpu: bool) -> float:
    """Return what a view costs: wall time on a GPU, CPU-seconds elsewhere."""
    if not on_gpu:
        return cpu_per_item(work)
    torch.cuda.synchronize()
    began = time.perf_counter()
    views = work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / views


def in_memory(dataset: Dataset, look: Look, spec: TargetSpec, manner: Manner) -> Callable[[], int]:
    """Return what shows a teacher views that were rendered before."""
    device = own_device(manner.device)
    forward = Forward(look.load(device), device=device, precision=spec.precision, batch=manner.batch)
    views = showing_of(dataset, look).views(np.arange(dataset.num_samples))[0].flatten(0, 1)

    def work() -> int:
        for start in range(0, len(views), manner.batch):
            forward(views[start : start + manner.batch]).cpu()
        return len(views)

    return work


def from_shards(dataset: Dataset, spec: TargetSpec, manner: Manner) -> Callable[[], int]:
    """Return what does the work of a worker for the one shard."""

    def work() -> int:
        shutil.rmtree(dataset.root / TARGETS, ignore_errors=True)
        return write_targets(dataset.root, spec, 0, manner) * spec.num_views

    return work


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Benchmark the computing of targets.")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    command.add_argument("--model", default="vit_small_patch16_224")
    command.add_argument("--pictures", type=int, default=64)
    command.add_argument("--views", type=int, default=1)
    command.add_argument("--batch", type=int, default=32)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/teaching.json"))
    options, console = command.parse_args(), make_console()
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        dataset = write_dataset(Path(temporary), options.pictures)
        weights = write_weights(Path(temporary), options.model)
        look = look_of(
            new_teacher("dino", size=224, settings=[f"weights={weights}"]), Wish(views=options.views), dataset
        )
        manner = manner_of(dataset, options.device, batch=options.batch, workers=1)
        precision = default_precision(look.teacher, manner.device)
        spec = make_spec("dino", look, coding=Coding(dtype="float16"), precision=precision)
        torch.set_num_threads(manner.cores)
        works = {IN_MEMORY: in_memory(dataset, look, spec, manner), FROM_SHARDS: from_shards(dataset, spec, manner)}
        arms = [
            Arm(name=name, cost=lambda _, work=work: seconds_per_view(work, on_gpu=options.device == "cuda"))  # type: ignore[misc]
            for name, work in works.items()
        ]
        costs = alternate(arms, rounds=options.rounds, warm_up=1, console=console)
    print_costs(f"{options.model} on {options.device}", costs, reference=IN_MEMORY, console=console)
    print_targets([TARGET], costs, console)
    settings = {name: str(value) for name, value in vars(options).items()}
    write_results(options.json, costs, targets=[TARGET], settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
