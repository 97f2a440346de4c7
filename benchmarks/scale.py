"""What does not depend on the size of a dataset, and what does: first batch, resume, memory, reads.

    python -m benchmarks.scale

A dataset of 10^9 samples is made of one real shard that stands 10^6 times in the shard table: it is opened, planned,
located and read as a dataset of that size, but all bytes come from the page cache. Everything is measured in processes of
their own in which all is imported and nothing open. Of the peers, what they compute before they can go on in the middle
of an epoch is run by their own functions, without data: it is a part of their resume, never more than all of it.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.figures import Row, print_rows, write_rows
from benchmarks.measure import make_console
from benchmarks.photographs import write_photographs
from benchmarks.readers import PACKAGES, Maskloom, is_installed
from benchmarks.readers.maskloom import make_stream, state_at
from benchmarks.resumes import RESUMES
from benchmarks.stream import write_small_pictures
from benchmarks.synthetic import repeat_shard
from pipelines.order import rank_slice
from pipelines.stream import Share
from shards.dataset import Dataset

GLOBAL_BATCH, SHARD_SIZE = 1024, 1000
RANKS = (32, 1)
AT_MOST = 0.1  # seconds to a first batch of 32 samples


def in_new_process(work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - whatever `work` returns
    """Run `work` in a process in which everything is imported but nothing is open."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as process:
        return process.submit(work, *arguments).result()


def first_batch(root: Path, what: str, step: int, ranks: int) -> tuple[float, float]:
    """Open everything, resume at a step and read rank 0's part of a batch; return CPU-seconds and seconds."""
    torch.set_num_threads(1)
    started, clock = time.process_time(), time.perf_counter()
    dataset = Dataset.open(root)
    stream = make_stream(dataset, global_batch=GLOBAL_BATCH, share=Share(rank=0, world_size=ranks))
    stream.resume(state_at(stream, step))
    if what == "decoded":
        next(stream)
    else:
        part = rank_slice(GLOBAL_BATCH, rank=0, world_size=ranks)
        dataset.read(next(stream.visits()).ids[part], ("image",))
    return time.process_time() - started, time.perf_counter() - clock


def first_batches(roots: dict[str, Path], rounds: int) -> list[Row]:
    """Measure first batches at the beginning, in the middle and at the end of an epoch."""
    rows: list[Row] = []
    for name, root in roots.items():
        steps = Dataset.open(root).num_samples // GLOBAL_BATCH
        for place, step in (
            ("start", 0),
            ("middle", steps // 2),
            ("end", max(0, steps - 1)),
            ("epoch 100", 100 * steps),
        ):
            for what in ("bytes", "decoded"):
                for ranks in RANKS if what == "bytes" else RANKS[:1]:
                    found = [in_new_process(first_batch, root, what, step, ranks) for _ in range(rounds)]
                    cpu, wall = (statistics.median(values) for values in zip(*found, strict=True))
                    samples = GLOBAL_BATCH // ranks
                    row = {
                        "dataset": name,
                        "at": place,
                        "batch": f"{samples} {what}",
                        "ms CPU": 1e3 * cpu,
                        "ms": 1e3 * wall,
                    }
                    rows.append(row | {"all ms CPU": [1e3 * each for each, _ in found]})
    return rows


def peer_resumes() -> list[Row]:
    """Measure what peers compute before they go on in the middle."""
    rows: list[Row] = []
    for resume in RESUMES:
        if is_installed(resume.module):
            seconds, megabytes = in_new_process(resumed, resume.name)
            rows.append(
                {"peer": resume.name, "samples": resume.samples, "CPU s": seconds, "more MB at its peak": megabytes}
            )
    return rows


def resumed(name: str) -> tuple[float, float]:
    """Run one of the peers' resumes; return CPU-seconds and by how many megabytes the process grew."""
    torch.set_num_threads(1)
    resume = next(resume for resume in RESUMES if resume.name == name)
    resume.prepare()
    before, started = _peak_megabytes(), time.process_time()
    resume.run()
    return time.process_time() - started, _peak_megabytes() - before


def steady_read(root: Path, batches: int) -> tuple[float, float]:
    """Read bytes as one rank, batches of 32; return CPU-seconds a sample after a warm-up, and how far memory grew."""
    dataset = Dataset.open(root)
    visits = make_stream(dataset).visits()
    _read_some(dataset, visits, 2 * batches)
    before, started = _megabytes(), time.process_time()
    samples = _read_some(dataset, visits, batches)
    return (time.process_time() - started) / samples, _megabytes() - before


def _read_some(dataset: Dataset, visits: Iterator[Any], batches: int) -> int:
    return sum(len(dataset.read(each.ids, ("image",))) for each in islice(visits, batches))


def steady_reads(roots: dict[str, Path], batches: int, rounds: int) -> list[Row]:
    """Measure reads of datasets with more and more shards, once their caches are full."""
    rows: list[Row] = []
    for name, root in roots.items():
        found = [in_new_process(steady_read, root, batches) for _ in range(rounds)]
        cost, growth = (statistics.median(values) for values in zip(*found, strict=True))
        rows.append({"dataset": name, "us CPU a sample": 1e6 * cost, "MB more": growth})
    return rows


def memory_over(root: Path, what: str, batches: int) -> Row:
    """Go through batches and return how much memory the process has, and how fast that grows."""
    torch.set_num_threads(1)
    stream = make_stream(Dataset.open(root))
    going = stream.visits() if what == "planned" else stream
    megabytes, every = [], max(1, batches // 100)
    for number, _ in enumerate(islice(going, batches)):
        if number % every == 0:
            megabytes.append(_megabytes())
    half = megabytes[len(megabytes) // 2 :]
    slope = float(np.polyfit(np.arange(len(half)) * every, half, 1)[0]) * 2**20
    return {
        "batches of 32": f"{batches:,} {what}",
        "MB at first": megabytes[0],
        "in the middle": half[0],
        "at last": half[-1],
        "bytes a batch, second half": slope,
    }


def _megabytes() -> float:
    """Return the memory that is the process's own: mapped files are pages of the cache, which the system takes back."""
    resident, shared = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split()[1:3])
    return (resident - shared) * resource.getpagesize() / 2**20


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def write_datasets(folder: Path, shards: Sequence[int], pictures: Path) -> dict[str, Path]:
    """Write datasets of one real shard each, repeated, by name."""
    small = write_small_pictures(folder / "small", write_photographs(pictures, SHARD_SIZE))
    roots = {}
    for times in shards:
        root = folder / f"{times}"
        Maskloom(root, shard_size=SHARD_SIZE).write(small[0].parent)
        if times > 1:
            repeat_shard(root, times)
        roots[f"{times * SHARD_SIZE:,} samples, {times:,} shards"] = root
    return roots


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Benchmark what should not depend on the size of a dataset.")
    command.add_argument("--shards", type=int, nargs="+", default=[1, 100, 1000, 1_000_000])
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--planned", type=int, default=1_000_000, help="batches that are planned, for their memory")
    command.add_argument("--read", type=int, default=1500, help="batches that are read and decoded, for their memory")
    command.add_argument("--pictures", type=Path, help="folder for the raw pictures; default: a temporary one")
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/stream-scale.json"))
    arguments, console = command.parse_args(), make_console()
    preload = ["benchmarks.stream", *(resume.module for resume in RESUMES)]
    multiprocessing.set_forkserver_preload(preload)
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        pictures = arguments.pictures or Path(temporary) / "pictures"
        roots = write_datasets(Path(temporary), arguments.shards, pictures)
        tables = measured(roots, arguments, console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    write_rows(arguments.json, tables, settings=settings, packages=("maskloom", "torch", "numpy", "pyarrow", *PACKAGES))


def measured(roots: dict[str, Path], arguments: argparse.Namespace, console: Console) -> dict[str, Sequence[Row]]:
    """Measure and print all tables."""
    smallest, largest = (list(roots.items())[place] for place in (0, -1))
    tables: dict[str, Sequence[Row]] = {}
    parts: dict[str, Callable[[], Sequence[Row]]] = {
        "First batch of a new process": functools.partial(first_batches, dict([smallest, largest]), arguments.rounds),
        "Peers: a part of their resume": peer_resumes,
        "Reads of bytes by one rank": functools.partial(steady_reads, roots, 150, arguments.rounds),
        "Memory": lambda: [
            in_new_process(memory_over, largest[1], "planned", arguments.planned),
            in_new_process(memory_over, largest[1], "read and decoded", arguments.read),
        ],
    }
    for title, part in parts.items():
        tables[title] = part()
        shown = [{name: value for name, value in row.items() if name != "all ms CPU"} for row in tables[title]]
        print_rows(title, shown, console)
    slow = [
        row for row in tables["First batch of a new process"] if str(row["batch"]).startswith("32 ") and _is_slow(row)
    ]
    console.print(f"first batch of 32 <= {AT_MOST * 1e3:g} ms CPU: {'falls short' if slow else 'met'}", highlight=False)
    return tables


def _is_slow(row: Row) -> bool:
    return float(str(row["ms CPU"])) > 1e3 * AT_MOST


if __name__ == "__main__":
    main()
