"""How much CPU it takes to read small pictures in shuffled batches: maskloom beside its peers.

    python -m benchmarks.stream --images 3000

The same pictures (shorter side 256, quality 90) in every format, no worker processes, batches of 32. First, each time in
a new process with everything imported, the CPU time to the first batch, and to a batch in the middle of an epoch. Then
whole epochs: bytes as they stand, and pictures decoded, cropped and resized by the same functions.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.measure import (
    Arm,
    Costs,
    RatioTarget,
    TimeTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    print_times,
    write_results,
)
from benchmarks.photographs import mean_kilobytes, write_photographs
from benchmarks.readers import PACKAGES as PEERS
from benchmarks.readers import written_readers
from benchmarks.readers.reader import BATCH, Collate, Pair, Reader, decoded, untouched
from ingest.images import store_image
from ingest.settings import IngestSettings

IMAGE_SIZE, QUALITY = 256, 90
PACKAGES = ("maskloom", "torch", "torchvision", "simplejpeg", "numpy", "pyarrow", *PEERS)

TARGETS = (
    RatioTarget(claim="bytes: maskloom / webdataset", arm="bytes, maskloom", peer="bytes, webdataset", at_least=15),
    RatioTarget(claim="bytes: maskloom / litdata", arm="bytes, maskloom", peer="bytes, litdata", at_least=1.5),
    RatioTarget(claim="bytes: maskloom / MosaicML", arm="bytes, maskloom", peer="bytes, mosaicml", at_least=10),
    RatioTarget(claim="decode: Stream / webdataset", arm="decode, maskloom", peer="decode, webdataset", at_least=1.4),
    RatioTarget(claim="decode: Stream / litdata", arm="decode, maskloom", peer="decode, litdata", at_least=1.05),
    RatioTarget(claim="decode: Stream / bytes in memory", arm="decode, maskloom", peer="decode, memory", at_least=0.95),
    TimeTarget(claim="first batch of bytes", arm="first bytes, maskloom", at_most=0.1),
    TimeTarget(claim="first batch of a Stream", arm="first decode, maskloom", at_most=0.1),
    TimeTarget(claim="resume bytes in the middle", arm="resume bytes, maskloom", at_most=0.1),
    TimeTarget(claim="resume a Stream in the middle", arm="resume decode, maskloom", at_most=0.1),
)

COLLATES: dict[str, Collate] = {"bytes": untouched, "decode": decoded}


def write_small_pictures(folder: Path, raw: Sequence[Path]) -> list[Path]:
    """Write the pictures at the size that is streamed, keeping those that are there."""
    settings = IngestSettings(image_size=IMAGE_SIZE, jpeg_quality=QUALITY)
    folder.mkdir(parents=True, exist_ok=True)
    small = [folder / path.name for path in raw]
    for source, path in zip(raw, small, strict=True):
        if not path.exists():
            path.write_bytes(store_image(source.read_bytes(), "image", settings).data)
    return small


def epoch_cost(turn: int, *, reader: Reader, mode: str) -> float:
    """Read one epoch and return the CPU-seconds of a sample."""

    def work() -> int:
        return sum(_num_samples(batch) for batch in reader.batches(COLLATES[mode], turn))

    return cpu_per_item(work)


def _num_samples(batch: Any) -> int:  # noqa: ANN401 - a list of pairs, a tensor, or a Batch of maskloom
    return len(batch.keys) if hasattr(batch, "plans") else len(batch)


def memory_cost(turn: int, *, pairs: Sequence[Pair]) -> float:
    """Decode, crop and resize pictures whose bytes are in memory: no reader can be faster than that."""

    def work() -> int:
        # A batch lives until the next one is there, as it does for every reader: fresh memory has its price.
        batches = map(decoded, (pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)))
        return sum(len(batch) for batch in batches)

    return cpu_per_item(work)


def epoch_arms(readers: Sequence[Reader], small: Sequence[Path], mode: str) -> list[Arm]:
    """Return the arms that read whole epochs in this process."""
    arms = [
        Arm(name=f"{mode}, {reader.name}", cost=functools.partial(epoch_cost, reader=reader, mode=mode))
        for reader in readers
    ]
    if mode == "decode":
        pairs = [(path.stem, path.read_bytes()) for path in small]
        arms.append(Arm(name="decode, memory", cost=functools.partial(memory_cost, pairs=pairs)))
    return arms


def cold_arms(readers: Sequence[Reader], middle: int) -> list[Arm]:
    """Return the arms that read one batch in a process of their own."""
    return [
        Arm(
            name=f"{place} {mode}, {reader.name}",
            cost=functools.partial(cold_seconds, reader=reader, mode=mode, batch=batch),
        )
        for mode in COLLATES
        for place, batch in (("first", 0), ("resume", middle))
        for reader in readers
    ]


def cold_seconds(turn: int, *, reader: Reader, mode: str, batch: int) -> float:
    """Read one batch in a process in which everything is imported but nothing is open; return its CPU-seconds."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as process:
        return process.submit(one_batch, reader, mode, batch).result()


def one_batch(reader: Reader, mode: str, batch: int) -> float:
    """Open a dataset, read one batch, and return the CPU-seconds: on an idle machine, the time it takes if nobody waits."""
    torch.set_num_threads(1)
    read = reader.resumed(COLLATES[mode], batch) if batch else lambda: next(iter(reader.batches(COLLATES[mode], 0)))
    started = time.process_time()
    read()
    return time.process_time() - started


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark the reading of shards.")
    command.add_argument("--images", type=int, default=1500)
    command.add_argument("--rounds", type=int, default=5, help="rounds of whole epochs")
    command.add_argument("--cold-rounds", type=int, default=5, help="rounds of single batches; 0 leaves them out")
    command.add_argument("--pictures", type=Path, help="folder for the raw pictures; default: a temporary one")
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/stream.json"))
    return command.parse_args()


def report(costs: dict[str, Costs], settings: dict[str, str], console: Console) -> None:
    """Print all tables and the targets, and write the measurements."""
    for mode in COLLATES:
        print_costs(f"Epochs, {mode}", costs[mode], reference=f"{mode}, webdataset", console=console)
    print_times("One batch in a new process, CPU time", costs["cold"], console=console)
    everything = costs["bytes"] | costs["decode"] | costs["cold"]
    print_targets(TARGETS, everything, console)
    write_results(Path(settings["json"]), everything, targets=TARGETS, settings=settings, packages=PACKAGES)


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        pictures = (arguments.pictures or Path(temporary) / "pictures") / str(arguments.images)
        raw = write_photographs(pictures, arguments.images)
        small = write_small_pictures(Path(temporary) / "small", raw)
        console.print(f"{len(small)} pictures, {mean_kilobytes(small):.1f} kB on average.", highlight=False)
        readers = written_readers(Path(temporary) / "data", Path(temporary) / "small", console)
        # First of all, because readers travel to the processes, and cannot once something is open.
        multiprocessing.set_forkserver_preload(
            [__spec__.name, *(name for reader in readers for name in reader.modules)]
        )
        cold = cold_arms([reader for reader in readers if reader.name != "maskloom kept"], len(small) // BATCH // 2)
        costs = {"cold": alternate(cold, rounds=arguments.cold_rounds, warm_up=0, console=console)}
        for mode in COLLATES:
            arms = epoch_arms(readers, small, mode)
            costs[mode] = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    report(costs, settings, console)


if __name__ == "__main__":
    main()
