"""Kills `maskloom targets` again and again at random moments and checks that what comes out is what it would have been.

    python tests/kill/kill_targets.py --kills 50

Every kill is a SIGKILL of the command with all its processes. A target that is sealed is compared, byte by byte, with that of
an undisturbed run, and the next one is begun.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.console import Console

from shards.dataset import Dataset
from shards.garbage import find_garbage
from shards.receipt import committed_shards
from shards.verify import verify
from tests.ingest.pictures import jpeg, write_files
from tests.kill.kill_ingest import PATIENCE_S, launch, wait_until

OPTIONS = (
    "--teacher",
    "hog",
    "--size",
    "32",
    "--set",
    "patch=8",
    "--views",
    "2",
    "--store",
    "pca:32:int8",
    "--workers",
    "1",
)


@dataclass
class Summary:
    """What happened in a campaign."""

    kills: int = 0
    targets: int = 0
    undisturbed_s: float = 0.0
    killed_at: Counter[str] = field(default_factory=Counter)


def make_dataset(folder: Path, count: int) -> Path:
    """Ingest `count` small pictures into shards of 32, and return the dataset."""
    source = write_files(folder / "source", {f"{n:05d}.jpg": jpeg(n, width=40, height=40) for n in range(count)})
    dataset = folder / "dataset"
    process = launch("ingest", str(source), str(dataset), "--shard-size", "32", log=folder / "log.txt")
    assert process.wait(PATIENCE_S) == 0, (folder / "log.txt").read_text()
    return dataset


def finish(dataset: Path, log: Path) -> float:
    """Run the command to its end and return how many seconds it took."""
    began = time.monotonic()
    assert launch("targets", str(dataset), *OPTIONS, log=log).wait(PATIENCE_S) == 0, log.read_text()
    return time.monotonic() - began


def campaign(folder: Path, *, samples: int, kills: int, seed: int) -> Summary:
    """Kill `kills` times, going on after each, and check every target that becomes sealed."""
    summary, log, draws = Summary(), folder / "log.txt", random.Random(seed)
    clean = make_dataset(folder, samples)
    reference = Path(shutil.copytree(clean, folder / "reference"))
    summary.undisturbed_s = finish(reference, log)
    while summary.kills < kills:
        dataset = Path(shutil.copytree(clean, folder / f"dataset-{summary.targets}"))
        while summary.kills < kills and _killed(dataset, draws.uniform(0, summary.undisturbed_s), summary, log):
            pass
        finish(dataset, log)
        check_same(dataset, reference)
        summary.targets += 1
    assert "Traceback" not in log.read_text(), log.read_text()
    return summary


def _killed(dataset: Path, after_s: float, summary: Summary, log: Path) -> bool:
    """Start the command and kill it after a while; tell whether it had not ended before."""
    process = launch("targets", str(dataset), *OPTIONS, log=log)
    until = time.monotonic() + after_s
    wait_until(lambda: time.monotonic() >= until, process)
    if process.poll() is not None:
        assert process.returncode == 0, log.read_text()
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    summary.kills += 1
    summary.killed_at[f"{_num_committed(dataset)} shards"] += 1
    return True


def _num_committed(dataset: Path) -> int:
    return sum(len(committed_shards(folder)) for folder in (dataset / "targets").glob("*-*"))


def check_same(dataset: Path, reference: Path) -> None:
    """Check that a target is sound and byte by byte the reference, whatever killed runs left beside it."""
    assert verify(Dataset.open(dataset)) == []
    garbage = set(find_garbage(dataset, older_than_s=-60))
    kept = {path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file() and path not in garbage}
    wanted = {path.relative_to(reference) for path in reference.rglob("*") if path.is_file()}
    assert kept == wanted
    assert [path for path in kept if (dataset / path).read_bytes() != (reference / path).read_bytes()] == []


def main() -> None:
    """Run a campaign and say what happened."""
    parser = argparse.ArgumentParser(description="Kill maskloom targets again and again.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--samples", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-targets-") as folder:
        summary = campaign(Path(folder), samples=options.samples, kills=options.kills, seed=options.seed)
    Console(highlight=False, soft_wrap=True).print(
        f"{summary.kills} kills over {summary.targets} targets, each byte by byte that of an undisturbed run of "
        f"{summary.undisturbed_s:.1f} s. Committed when killed: {dict(sorted(summary.killed_at.items()))}"
    )


if __name__ == "__main__":
    main()
