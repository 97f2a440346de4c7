"""Finds files in a dataset folder that no receipt vouches for: what killed or doubled writers left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from shards.manifest import MANIFEST, load_manifest
from shards.receipt import committed_shards, read_receipt
from shards.storage import TEMPORARY
from shards.target_table import TARGETS, read_target_receipt


def find_garbage(root: Path, *, older_than_s: float) -> list[Path]:
    """Return the files below `root` that maskloom wrote and nothing refers to, if untouched for `older_than_s` seconds.

    The age protects the files that a running ingest has not committed yet. Files that maskloom did not write are never
    named, wherever they stand.
    """
    horizon = time.time() - older_than_s
    vouched = set(_vouched_for(root))
    candidates = [path for path in _written_by_maskloom(root) if path not in vouched]
    return sorted(path for path in candidates if path.lstat().st_mtime <= horizon)


def _written_by_maskloom(root: Path) -> Iterator[Path]:
    folders = [root, *(path for path in (root / TARGETS).glob("*") if path.is_dir())]
    for folder in folders:
        yield from (path for path in (folder / TEMPORARY).glob("*") if path.is_file())
    yield from (root / "data").glob("[0-9]*-*.tar")
    yield from (root / "data").glob("[0-9]*-*.arrow")
    yield from (root / "rejects").glob("[0-9]*-*.arrow")
    yield from root.glob("shards-*.arrow")
    for folder in folders[1:]:
        yield from folder.glob("[0-9]*-*.arrow")


def _vouched_for(root: Path) -> Iterator[Path]:
    for shard in committed_shards(root):
        yield from (root / record.path for record in read_receipt(root, shard).files.values())
    if (root / MANIFEST).exists():
        yield root / load_manifest(root).shards.path
    for folder in (root / TARGETS).glob("*"):
        for shard in committed_shards(folder):
            yield folder / read_target_receipt(folder, shard).file.path
