import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset
from shards.manifest import MANIFEST
from shards.receipt import receipt_path
from shards.target_spec import Coding
from shards.target_table import (
    TARGET,
    TargetSpec,
    target_folder,
)
from shards.target_writer import seal_target, write_target_shard
from shards.verify import verify

SPEC = TargetSpec(
    teacher="mean",
    teacher_settings={},
    weights_sha256=None,
    preprocessing="none",
    views={"count": 1, "seed": 0},
    shape=(2,),
    coding=Coding(dtype="float32"),
    software={},
)


def findings(root: Path) -> str:
    return "; ".join(f"{finding.where}: {finding.what}" for finding in verify(Dataset.open(root)))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def tar_of(root: Path) -> Path:
    return Dataset.open(root).shard_paths(0)[0]


def flip_a_payload_bit(root: Path) -> None:
    flip(tar_of(root), Dataset.open(root).reader(0).facts(0, "image.offset")[3] + 60)


def flip_a_header_byte(root: Path) -> None:
    flip(tar_of(root), Dataset.open(root).reader(0).facts(0, "image.offset")[3] - 512 + 2)


def truncate_the_tar(root: Path) -> None:
    tar_of(root).write_bytes(tar_of(root).read_bytes()[:-600])


def lose_the_tar(root: Path) -> None:
    tar_of(root).unlink()


def lose_the_index(root: Path) -> None:
    Dataset.open(root).shard_paths(0)[1].unlink()


def lose_the_rejects(root: Path) -> None:
    next((root / "rejects").glob("000000-*")).unlink()


def swap_the_index(root: Path) -> None:
    shutil.copy(Dataset.open(root).shard_paths(1)[1], Dataset.open(root).shard_paths(0)[1])


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_payload_bit,
        flip_a_header_byte,
        truncate_the_tar,
        lose_the_tar,
        lose_the_index,
        lose_the_rejects,
        swap_the_index,
    ],
    ids=lambda damage: damage.__name__,
)
def test_damaged_files_are_found_and_named(dataset_root: Path, damage: Callable[[Path], None]) -> None:
    assert findings(dataset_root) == ""
    damage(dataset_root)
    assert "/000000-" in findings(dataset_root)


@pytest.mark.parametrize("entry", ["samples", "licences", "field_bytes", "ignored_members"])
def test_an_edited_receipt_is_found(dataset_root: Path, entry: str) -> None:
    path = receipt_path(dataset_root, 1)
    content = json.loads(path.read_bytes())
    content[entry] = 71 if entry == "samples" else content[entry] | {"image": 5}
    path.write_text(json.dumps(content))
    assert "receipts/000001.json" in findings(dataset_root)


def test_a_missing_receipt_is_found(dataset_root: Path) -> None:
    receipt_path(dataset_root, 1).unlink()
    assert "receipts/000001.json" in findings(dataset_root)


@pytest.mark.parametrize(
    "old, new", [('"num_samples": 150', '"num_samples": 149'), ('"num_items": 150', '"num_items": 151')]
)
def test_a_wrong_count_in_the_manifest_is_found(dataset_root: Path, old: str, new: str) -> None:
    manifest = dataset_root / MANIFEST
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))
    assert "dataset.json: " in findings(dataset_root)


def test_a_wrong_count_of_a_field_is_found(dataset_root: Path) -> None:
    content = json.loads((dataset_root / MANIFEST).read_bytes())
    content["fields"]["text"]["samples"] = 149
    (dataset_root / MANIFEST).write_text(json.dumps(content))
    assert "dataset.json: samples with text: 149, but the receipts add up to 150" in findings(dataset_root)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_damaged_shard_table_is_found(dataset_root: Path, is_lost: bool) -> None:
    table = next(dataset_root.glob("shards-*.arrow"))
    if is_lost:
        table.unlink()
    else:
        table.write_bytes(table.read_bytes()[:-100])
    assert f"{table.name}: missing, or not the" in findings(dataset_root)


@pytest.fixture
def targeted(dataset_root: Path) -> Path:
    """The dataset with a stored target of two numbers a sample; returns the folder of the target."""
    dataset = Dataset.open(dataset_root)
    for shard in range(3):
        reader = dataset.reader(shard)
        keys = [reader.facts(row // 64, "key")[row % 64] for row in range(reader.num_rows)]
        values = np.random.default_rng(shard).random((len(keys), 2), np.float32)
        blocks = ((keys[i : i + 64], [values[i : i + 64]]) for i in range(0, len(keys), 64))
        write_target_shard(dataset, SPEC, shard, blocks)
    seal_target(dataset, SPEC, {})
    return target_folder(dataset_root, SPEC.target_id)


def target_file(folder: Path, shard: int) -> Path:
    return next(folder.glob(f"{shard:06d}-*.arrow"))


def test_a_sound_target_has_no_findings(targeted: Path) -> None:
    assert findings(targeted.parents[1]) == ""


def test_swapped_target_files_are_found(targeted: Path) -> None:
    shutil.copy(target_file(targeted, 1), target_file(targeted, 0))
    assert target_file(targeted, 0).name in findings(targeted.parents[1])


def test_a_flipped_bit_in_a_target_is_found(targeted: Path) -> None:
    flip(target_file(targeted, 0), 700)
    assert target_file(targeted, 0).name in findings(targeted.parents[1])


def test_swapped_target_receipts_are_found(targeted: Path) -> None:
    first, second = (json.loads(receipt_path(targeted, shard).read_bytes()) for shard in (0, 1))
    receipt_path(targeted, 0).write_text(json.dumps(first | {"file": second["file"]}))
    assert "its rows are not in the order of the base shard" in findings(targeted.parents[1])


def test_a_stale_target_is_found_and_refused(targeted: Path) -> None:
    from shards.errors import DatasetError

    path = receipt_path(targeted, 2)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"base_digest": "xxh3_128:0"}))
    assert "is stale: shard 2 has changed" in findings(targeted.parents[1])
    with pytest.raises(DatasetError, match="is stale: shard 2 has changed"):
        Dataset.open(targeted.parents[1]).target("mean").read(np.array([149]), np.array([0]))


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_target_that_cannot_be_understood_is_a_finding(targeted: Path, content: str) -> None:
    (targeted / TARGET).write_text(content)
    assert f"{TARGET} cannot be understood" in findings(targeted.parents[1])


def test_a_target_whose_recipe_was_edited_is_found(targeted: Path) -> None:
    content = json.loads((targeted / TARGET).read_bytes())
    content["spec"]["views"]["seed"] = 1
    (targeted / TARGET).write_text(json.dumps(content))
    assert "does not describe the target" in findings(targeted.parents[1])


def test_progress_is_told_for_every_shard(sealed: Path) -> None:
    told: list[int] = []
    verify(Dataset.open(sealed), on_shard=told.append)
    assert told == [0, 1, 2]
