"""Shard jobs without media: every item does what its name says, to itself or to its process."""

import ctypes
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.stored import EncodedItem, StoredField
from shards.errors import SourceError, StorageError
from shards.receipt import Receipt
from shards.schema import RejectReason

OPENER = "tests.ingest.containment.fakes:open_job"
LIMITS = Limits(item_seconds=0.6, item_memory=256 << 20)


def backtrack_for_ever() -> None:
    """A regular expression that keeps the interpreter's lock."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def loop_for_ever() -> None:
    while True:
        pass


def hoard_memory() -> None:
    held = []
    while True:
        held.append(b"\1" * (16 << 20))


def map_memory() -> None:
    """Ask the kernel for more than is allowed without touching it, as a decoder does that believes a header."""
    mmap.mmap(-1, 8 << 30)


def fail_to_read() -> None:
    raise SourceError("the source is not mounted")


def refuse(detail: str = "broken") -> None:
    raise Rejection(RejectReason.CORRUPT_IMAGE, detail)


def be_killed_once(dataset: Path) -> None:
    """Die the first time as a process does that the kernel picks when memory is short."""
    try:
        (dataset / "killed").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def leave_a_sleeper(dataset: Path) -> None:
    """Note who is waiting, and wait."""
    (dataset / "sleeper").write_text(str(os.getpid()))
    time.sleep(3600)


DEEDS: dict[str, Callable[[], object]] = {
    "sound": lambda: None,
    "refused": refuse,
    "refused in odd words": lambda: refuse("\ud800 and \udcff"),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "system exit": lambda: sys.exit(0),
    "backtrack": backtrack_for_ever,
    "loop": loop_for_ever,
    "sleep": lambda: time.sleep(3600),
    "hoard": hoard_memory,
    "map": map_memory,
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "unreadable": fail_to_read,
    "bug": lambda: {}["missing"],
    "noise": lambda: os.write(2, b"noise" * 100_000),
    "hoard and exit": lambda: (b"\1" * (64 << 20), os._exit(0)),
    "spin without pipe": lambda: (os.closerange(3, 256), loop_for_ever()),
    "processes": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
}

SHARED: dict[str, Callable[[], object]] = {
    "share slowly": lambda: time.sleep(3 * LIMITS.item_seconds + 0.2),
    "share much": lambda: bytearray(2 * LIMITS.item_memory),
    "share a disk that fails": fail_to_read,
}
"""What is done before an item is encoded, outside of its bounds."""


class FakeJob:
    """Stores the name and number of every item, or dies of it."""

    limits = LIMITS

    def __init__(self, dataset: Path, shard: int, deeds: list[str]) -> None:
        self._dataset, self._shard, self._deeds = dataset, shard, deeds
        self._prepared = -1

    def __len__(self) -> int:
        return len(self._deeds)

    def prepare(self, number: int) -> None:
        self._prepared = number
        if self._deeds[number] in SHARED:
            SHARED[self._deeds[number]]()

    def encode(self, number: int) -> EncodedItem:
        assert self._prepared == number
        deed = self._deeds[number]
        if deed == "be killed once":
            be_killed_once(self._dataset)
        elif deed == "leave a sleeper":
            leave_a_sleeper(self._dataset)
        elif deed not in SHARED:
            DEEDS[deed]()
        facts = {"width": number, "phash": 2**64 - 1, "contrast": 0.25, "bounds": [0.5, 1.5], "format": None}
        members = tuple(bytes([number, part]) for part in range(3))
        one = StoredField(name="image", kind="image", data=deed.encode(), extension="jpg", facts=facts)
        many = StoredField(name="video", kind="frames", data=members, extension="jpg")
        return EncodedItem(fields=(one, many), sha256={"image": b"\0" * 32})

    def write(self, outcomes: Iterator[EncodedItem | Rejection]) -> Receipt:
        if self._deeds[0] == "full disk":
            raise StorageError("no space left")
        results = list(outcomes)
        lines = [f"{what.reason}: {what.detail}" if isinstance(what, Rejection) else repr(what) for what in results]
        (self._dataset / f"{self._shard}.txt").write_text("\n".join(lines))
        rejects = Counter(what.reason.value for what in results if isinstance(what, Rejection))
        return Receipt(
            shard=self._shard,
            plan_id="fake",
            split="train",
            samples=len(results) - rejects.total(),
            rejects=dict(sorted(rejects.items())),
            field_samples={},
            field_bytes={},
            licences={},
            ignored_members={},
            files={},
        )


def open_job(dataset: Path, shard: int, source_root: Path) -> FakeJob:
    """Open the job whose deeds stand in `deeds.json` of the source; `["die"]` kills whoever opens it."""
    deeds = json.loads((source_root / "deeds.json").read_text())
    if deeds == ["die"]:
        ctypes.string_at(0)
    return FakeJob(dataset, shard, deeds)
