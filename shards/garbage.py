"""Finds files in a dataset folder that no receipt vouches for: what killed or doubled writers left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from shards.errors import MissingDatasetError
from shards.location import require_folder
from shards.manifest import MANIFEST, load_manifest
from shards.receipt import RECEIPTS, committed_shards, read_receipt
from shards.storage import TEMPORARY
from shards.target_table import TARGETS, read_target_receipt

_MARKS_OF_A_DATASET = (MANIFEST, RECEIPTS, "plan.arrow")
_TEMPORARY_NAME = re.compile(r".+\.[0-9a-f]{32}")
_PAYLOAD_NAME = re.compile(r"\d{6,}-[0-9a-f]{12}\.(tar|arrow)")
_SHARD_TABLE_NAME = re.compile(r"shards-[0-9a-f]{12}\.arrow")


def find_garbage(root: Path, *, older_than_s: float) -> list[Path]:
    """Return the files below `root` that maskloom wrote and nothing refers to, if untouched for `older_than_s` seconds.

    The age protects the files that a running ingest has not committed yet. Files that maskloom did not write are never
    named, wherever they stand.

    Raises:
        MissingDatasetError: `root` is no dataset folder, finished or begun.
        DatasetError: It is not on this machine.
    """
    require_folder(root, "collecting garbage")
    if not any((root / name).exists() for name in _MARKS_OF_A_DATASET):
        raise MissingDatasetError(f"{root} is no dataset folder, finished or begun: nothing in it is maskloom's.")
    horizon = time.time() - older_than_s
    vouched = set(_vouched_for(root))
    candidates = [path for path in _written_by_maskloom(root) if path not in vouched]
    return sorted(path for path in candidates if path.lstat().st_mtime <= horizon)


def _written_by_maskloom(root: Path) -> Iterator[Path]:
    folders = [root, *(path for path in (root / TARGETS).glob("*") if path.is_dir())]
    for folder in folders:
        yield from _files(folder / TEMPORARY, _TEMPORARY_NAME)
    yield from _files(root / "data", _PAYLOAD_NAME)
    yield from _files(root / "rejects", _PAYLOAD_NAME)
    yield from _files(root, _SHARD_TABLE_NAME)
    for folder in folders[1:]:
        yield from _files(folder, _PAYLOAD_NAME)


def _files(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    yield from (path for path in folder.glob("*") if name.fullmatch(path.name) and path.is_file())


def _vouched_for(root: Path) -> Iterator[Path]:
    for shard in committed_shards(root):
        yield from (root / record.path for record in read_receipt(root, shard).files.values())
    if (root / MANIFEST).exists():
        yield root / load_manifest(root).shards.path
    for folder in (root / TARGETS).glob("*"):
        for shard in committed_shards(folder):
            yield folder / read_target_receipt(folder, shard).file.path
