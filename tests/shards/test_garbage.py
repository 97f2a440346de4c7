import os
import time
from pathlib import Path

import pytest

from ingest.shard_task import write_shard
from shards.errors import MissingDatasetError
from shards.garbage import find_garbage
from shards.receipt import receipt_path
from shards.storage import temporary_path


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 7200,) * 2)


def age(root: Path) -> None:
    make_old(*(path for path in root.rglob("*") if path.is_file()))


def test_a_sealed_dataset_holds_no_garbage(dataset_root: Path) -> None:
    age(dataset_root)
    assert find_garbage(dataset_root, older_than_s=0) == []


def test_what_a_killed_writer_leaves_is_garbage(dataset_root: Path) -> None:
    left = temporary_path(dataset_root, "000001.tar")
    left.write_bytes(b"half a shard")
    orphans = [dataset_root / f"data/000001-0123456789ab.{kind}" for kind in ("tar", "arrow")]
    orphans += [dataset_root / "rejects/000001-0123456789ab.arrow", dataset_root / "shards-0123456789ab.arrow"]
    for path in orphans:
        path.write_bytes(b"orphan")
    make_old(left, *orphans)
    assert find_garbage(dataset_root, older_than_s=3600) == sorted([left, *orphans])


def test_files_of_a_shard_without_a_receipt_are_garbage_and_can_be_made_again(
    dataset_root: Path, pictures: Path
) -> None:
    receipt = receipt_path(dataset_root, 1)
    content = receipt.read_bytes()
    receipt.unlink()
    age(dataset_root)
    garbage = find_garbage(dataset_root, older_than_s=60)
    assert {path.name[:7] for path in garbage} == {"000001-"}
    for path in garbage:
        path.unlink()
    write_shard(dataset_root, 1, pictures)
    assert receipt.read_bytes() == content
    assert all(path.exists() for path in garbage)


def test_young_files_are_left_to_the_run_that_writes_them(dataset_root: Path) -> None:
    temporary_path(dataset_root, "000001.tar").write_bytes(b"being written")
    assert find_garbage(dataset_root, older_than_s=60) == []
    assert len(find_garbage(dataset_root, older_than_s=-60)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "data/2024-holidays.tar",
        "data/notes.arrow",
        "tmp/letter.doc",
        "shards-of-glass.arrow",
        "data/x.tar",
    ],
)
def test_files_of_others_are_never_named(dataset_root: Path, name: str) -> None:
    path = dataset_root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not ours")
    age(dataset_root)
    assert find_garbage(dataset_root, older_than_s=0) == []


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    temporary_path(tmp_path, "x").write_bytes(b"")
    with pytest.raises(MissingDatasetError):
        find_garbage(tmp_path, older_than_s=0)


def test_what_is_left_of_a_first_shard_is_garbage_of_an_unfinished_ingest(dataset_root: Path) -> None:
    for path in [*dataset_root.glob("receipts/*"), dataset_root / "dataset.json"]:
        path.unlink()
    age(dataset_root)
    names = {path.relative_to(dataset_root).parts[0] for path in find_garbage(dataset_root, older_than_s=0)}
    assert names == {"data", "rejects", next(dataset_root.glob("shards-*")).name}
