"""What a shard task costs besides its work: contained or not, through Dask or not, in CPU-seconds of all processes.

    python -m benchmarks.tasks

Every shard holds one tiny picture, so what is measured is the cost of the task itself: plan, receipt and syncs in all arms,
one fork of the decoder server in the contained one, the scheduler in the last.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.measure import Arm, alternate, make_console, print_costs, write_results
from benchmarks.photographs import write_photographs
from ingest.containment.client import decoder_server, write_contained
from ingest.executor import DaskExecutor, worker_threads
from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.settings import IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.folder import FolderSource
from shards.receipt import Receipt

PACKAGES = ("maskloom", "distributed", "torch", "pyarrow")
Write = Callable[[Path, int, Path], Receipt]


def tree_seconds() -> float:
    """Return the CPU-seconds of this process, of the decoder server and of all that it has forked so far."""
    pids = filter(None, (psutil.Process().pid, decoder_server().pid))
    processes = [psutil.Process(pid) for pid in pids]
    if len(processes) > 1:
        processes += processes[1].children(recursive=True)
    times = [process.cpu_times() for process in processes]
    own = sum(time.user + time.system for time in times)
    return own + sum(time.children_user + time.children_system for time in times[1:])


def one_by_one(dataset: Path, source: Path, shards: int, *, write: Write) -> None:
    """Write the shards one after the other."""
    for shard in range(shards):
        write(dataset, shard, source)


def through_dask(dataset: Path, source: Path, shards: int) -> None:
    """Write the shards as the command does, on an embedded cluster of two threads."""
    with DaskExecutor(workers=2, scheduler=None, embedded=worker_threads) as executor:
        for _ in executor.run(write_contained, ((dataset, shard, source) for shard in range(shards))):
            pass


def cost(turn: int, *, run: Callable[[Path, Path, int], None], source: Path, shards: int) -> float:
    """Return the CPU-seconds of one task."""
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as folder:
        dataset = Path(folder)
        commit_plan(dataset, make_plan(FolderSource(source, folder_labels=False).scan(), IngestSettings(shard_size=1)))
        before = tree_seconds()
        run(dataset, source, shards)
        return (tree_seconds() - before) / shards


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Benchmark what a shard task costs besides its work.")
    command.add_argument("--shards", type=int, default=60)
    command.add_argument("--rounds", type=int, default=5)
    arguments, console = command.parse_args(), make_console()
    runs: dict[str, Callable[[Path, Path, int], None]] = {
        "in this process": functools.partial(one_by_one, write=write_shard),
        "contained": functools.partial(one_by_one, write=write_contained),
        "contained, through Dask": through_dask,
    }
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as folder:
        source = Path(folder) / "pictures"
        write_photographs(source, arguments.shards)
        arms = [
            Arm(name=name, cost=functools.partial(cost, run=run, source=source, shards=arguments.shards))
            for name, run in runs.items()
        ]
        costs = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    print_costs("One shard task", costs, reference="in this process", console=console)
    settings = {"shards": arguments.shards, "rounds": arguments.rounds}
    path = Path("benchmarks/results/tasks.json")
    write_results(path, costs, targets=[], settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
