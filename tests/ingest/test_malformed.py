"""A thousand malformed files through the whole command: nothing crashes, hangs, escapes or gets lost."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from shards.dataset import Dataset
from shards.schema import RejectReason
from shards.verify import verify
from tests.ingest.hostile import HOSTILE
from tests.ingest.malformed import CANARY, write_corpus
from tests.ingest.outcome import rejected

REPOSITORY = Path(__file__).parents[2]
ITEM_MEMORY = 1 << 30
CEILING = (1 << 30) + ITEM_MEMORY
"""Bytes that no process of the command may hold: what it takes to have all decoders loaded, and what an item may add."""


def peak(process: psutil.Process) -> int:
    """Return the most resident bytes that a process ever had, or 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Note the most resident bytes of any process of a tree; the kernel keeps the peaks, so seldom looks are enough."""
    sizes: list[int] = [0]
    ended = threading.Event()

    def watch() -> None:
        root = psutil.Process(pid)
        while not ended.wait(0.1):
            with suppress(psutil.Error):
                sizes[0] = max(sizes[0], *map(peak, (root, *root.children(recursive=True))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sizes
    finally:
        ended.set()
        watcher.join()


def ingest(corpus: Path, out: Path, canary: Path, *more: str) -> int:
    """Run the command and return the most bytes that one of its processes held."""
    command = [
        sys.executable,
        "-m",
        "maskloom",
        "ingest",
        str(corpus),
        str(out),
        "--shard-size",
        "256",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        [*command, "--set", "limits.item_seconds=20", "--set", f"limits.item_memory={ITEM_MEMORY}", *more],
        cwd=REPOSITORY,
        env=os.environ | {CANARY: str(canary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, watched(process.pid) as sizes:
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == 0, said
    return sizes[0]


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def check_outcome(corpus: Path, out: Path) -> None:
    """Check that every file was stored, refused with one reason, or counted as something that is no media."""
    dataset = Dataset.open(out)
    assert verify(dataset) == []
    refused, stored = rejected(out), dataset.column(np.arange(dataset.num_samples), "source").tolist()
    assert not set(stored) & set(refused)
    assert all(RejectReason(reason) and detail for reason, detail in refused.values())
    assert len(stored) + len(refused) == dataset.manifest.num_items
    files = sum(path.is_file() for path in corpus.rglob("*"))
    assert dataset.manifest.num_items + sum(dataset.manifest.ignored.values()) == files


SURVEYED = ("--drop-duplicates", "--near-duplicates", "4", "--split", "val=0.3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The malformed files, alone in a folder; a test that changes them or writes beside them fails."""
    folder = tmp_path_factory.mktemp("malformed") / "corpus"
    assert write_corpus(folder, seed=7, count=1000) >= 1000
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), SURVEYED], ids=["plain", "surveyed"])
def test_a_thousand_malformed_files_are_stored_or_refused_with_one_reason_each(
    corpus: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    before, began = snapshot(corpus), time.monotonic()
    held = ingest(corpus, inside / "out", inside / "canary", *options)
    assert time.monotonic() - began < 200
    assert held < CEILING
    check_outcome(corpus, inside / "out")
    assert not (inside / "canary").exists(), "a file was executed"
    assert snapshot(corpus) == before
    assert [path.name for path in inside.iterdir()] == ["out"]
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus"]
    assert list(Path("/tmp").glob("outside*")) == [], "an archive was unpacked"


@pytest.mark.slow
@pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"the collection of odd files {HOSTILE} is not there")
@pytest.mark.parametrize("kind", ["audio", "image", "pointcloud", "video"])
def test_odd_files_of_others_are_stored_or_refused_with_one_reason_each(tmp_path: Path, kind: str) -> None:
    assert ingest(HOSTILE / kind, tmp_path / "out", tmp_path / "canary") < CEILING
    check_outcome(HOSTILE / kind, tmp_path / "out")
