"""What a state is, and whether reading goes on exactly: maskloom and its peers, resumed with other workers and ranks.

    python -m benchmarks.resume

One rank without workers reads a few global batches and saves its state. Then new processes resume from it. What they
read is compared, global batch by global batch and as sets, with what the first one would have read.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from rich.console import Console

from benchmarks.continuing import CONTINUING, Place, State
from benchmarks.figures import Row, print_rows, write_rows
from benchmarks.measure import make_console
from benchmarks.photographs import write_photographs
from benchmarks.readers import PACKAGES, written_readers
from benchmarks.readers.reader import BATCH
from benchmarks.stream import write_small_pictures

STEPS, BEFORE = 20, 8
PLACES = {"the same": (1, 0), "2 workers": (1, 2), "2 ranks": (2, 0), "2 ranks x 2 workers": (2, 2)}

Batches = list[list[str]]


def read(name: str, folder: Path, place: Place, state: State, batches: int) -> tuple[Batches, bytes]:
    """Read some batches as one process among several; return their keys and the state after them."""
    keys, state_of = CONTINUING[name](folder, place, state)
    found = list(islice(keys, batches))
    return found, state_of()


def read_globally(
    name: str, folder: Path, *, ranks: int, workers: int, state: State, batches: int
) -> tuple[Batches, bytes]:
    """Read global batches with a process for each rank; return their keys, and the state of the first rank."""
    port = _free_port()
    pools = [_process(rank, ranks, port) for rank in range(ranks)]
    try:
        places = [Place(rank=rank, ranks=ranks, workers=workers) for rank in range(ranks)]
        begun = [
            pool.submit(read, name, folder, place, state, batches) for pool, place in zip(pools, places, strict=True)
        ]
        found = [each.result(timeout=180) for each in begun]
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
    parts = [keys for keys, _ in found]
    return [[key for part in step for key in part] for step in zip(*parts, strict=False)], found[0][1]


def _process(rank: int, ranks: int, port: int) -> ProcessPoolExecutor:
    names = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "GLOBAL_RANK": rank,
        "NNODES": 1,
        "WORLD_SIZE": ranks,
        "LOCAL_WORLD_SIZE": ranks,
        "MASTER_PORT": port,
    }
    environment = {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "127.0.0.1"}
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_set_environment, initargs=(environment,))


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def verdict(wanted: Batches, found: Batches, *, before: Batches) -> str:
    """Say in words how what was read after a resume differs from what would have been read."""
    if found == wanted:
        return "exact"
    if [sorted(batch) for batch in found] == [sorted(batch) for batch in wanted]:
        return "same global batches"
    old = {key for batch in before for key in batch}
    counts = Counter(key for batch in found for key in batch)
    repeated = sum(count - (key not in old) for key, count in counts.items())
    missed = len({key for batch in wanted for key in batch} - set(counts))
    other = "" if len(found) == len(wanted) else f", {len(found)} batches instead of {len(wanted)}"
    return f"{repeated} repeated, {missed} of {sum(map(len, wanted))} missed{other}"


def row_of(name: str, folder: Path, console: Console) -> Row:
    """Resume a library in every way, and return what came of it."""
    wanted, _ = read_globally(name, folder, ranks=1, workers=0, state=None, batches=STEPS)
    before, state = read_globally(name, folder, ranks=1, workers=0, state=None, batches=BEFORE)
    row: dict[str, object] = {"library": name, "bytes of state": len(state)}
    row["again from the start"] = "exact" if before == wanted[:BEFORE] else "another order"
    for title, (ranks, workers) in PLACES.items():
        with console.status(f"{name}, {title}"):
            row[title] = _outcome(name, folder, ranks, workers, state, wanted)
    return row


def _outcome(name: str, folder: Path, ranks: int, workers: int, state: State, wanted: Batches) -> str:
    try:
        found, _ = read_globally(name, folder, ranks=ranks, workers=workers, state=state, batches=STEPS - BEFORE)
    except Exception as error:
        return f"refused: {type(error).__name__}: {str(error).strip().splitlines()[0][:80] if str(error) else ''}"
    return verdict(wanted[BEFORE:], found, before=wanted[:BEFORE])


def main() -> None:
    """Resume everything, print and write."""
    command = argparse.ArgumentParser(description="Compare how exactly readers resume.")
    command.add_argument("--pictures", type=Path, help="folder for the raw pictures; default: a temporary one")
    command.add_argument("--only", nargs="+", choices=list(CONTINUING), default=list(CONTINUING))
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/stream-resume.json"))
    arguments, console = command.parse_args(), make_console()
    multiprocessing.set_forkserver_preload(["benchmarks.continuing"])
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        raw = write_photographs(arguments.pictures or Path(temporary) / "pictures", STEPS * BATCH)
        small = write_small_pictures(Path(temporary) / "small", raw)
        readers = written_readers(Path(temporary) / "data", small[0].parent, console)
        rows = [
            row_of(reader.name, Path(temporary) / "data" / reader.name, console)
            for reader in readers
            if reader.name in arguments.only
        ]
    print_rows(f"Resumed after {BEFORE} of {STEPS} global batches of {BATCH}", rows, console)
    packages: Sequence[str] = ("maskloom", "torch", *PACKAGES)
    write_rows(arguments.json, {"resume": rows}, settings={"steps": STEPS, "before": BEFORE}, packages=packages)


if __name__ == "__main__":
    main()
