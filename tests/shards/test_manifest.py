import json
from pathlib import Path
from typing import Any

import pytest

import shards.manifest
from ingest.plan_file import read_plan_header
from shards.errors import DatasetError, StorageError
from shards.manifest import MANIFEST, Manifest, Origin, load_manifest, seal
from shards.receipt import read_receipt, receipt_path


def origin_of(manifest: Manifest, **changed: Any) -> Origin:
    values = {name: getattr(manifest, name) for name in Origin.__slots__} | {"fields": manifest.kinds}
    return Origin(**(values | changed))


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changed, sort_keys=True, indent=2) + "\n")


def test_sealing_again_gives_the_same_bytes(dataset_root: Path) -> None:
    before = {path: path.read_bytes() for path in dataset_root.rglob("*") if path.is_file()}
    seal(dataset_root, origin_of(load_manifest(dataset_root)))
    assert {path: path.read_bytes() for path in dataset_root.rglob("*") if path.is_file()} == before


def test_a_seal_interrupted_before_the_manifest_is_repeated(
    dataset_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = origin_of(load_manifest(dataset_root))
    before = (dataset_root / MANIFEST).read_bytes()
    (dataset_root / MANIFEST).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(shards.manifest, "replace_file", _full_disk)
        with pytest.raises(StorageError):
            seal(dataset_root, origin)
    assert not (dataset_root / MANIFEST).exists()
    seal(dataset_root, origin)
    assert (dataset_root / MANIFEST).read_bytes() == before


def _full_disk(*_: object) -> None:
    raise StorageError("no space")


def test_the_manifest_comes_back_as_it_was_written(sealed: Path) -> None:
    manifest = load_manifest(sealed)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.to_json() == (sealed / MANIFEST).read_bytes()
    assert manifest.plan_id == read_plan_header(sealed).plan_id


def test_the_manifest_counts_what_was_stored(sealed: Path) -> None:
    manifest = load_manifest(sealed)
    assert (manifest.num_items, manifest.num_samples, manifest.num_rejects, manifest.num_shards) == (150, 150, 0, 3)
    assert {name: summary.samples for name, summary in manifest.fields.items()} == {
        "image": 150,
        "text": 150,
        "label": 150,
    }
    assert manifest.classes is None


def test_items_that_are_neither_stored_nor_rejected_stop_the_seal(dataset_root: Path) -> None:
    origin = origin_of(load_manifest(dataset_root), num_items=151)
    with pytest.raises(DatasetError, match="151 items were listed, but 150 stored and 0 rejected"):
        seal(dataset_root, origin)


def test_a_missing_receipt_stops_the_seal(dataset_root: Path) -> None:
    origin = origin_of(load_manifest(dataset_root))
    receipt_path(dataset_root, 1).unlink()
    with pytest.raises(DatasetError, match=r"Shard 1 .* has no receipt"):
        seal(dataset_root, origin)


def test_receipts_of_another_plan_stop_the_seal(dataset_root: Path) -> None:
    with pytest.raises(DatasetError, match=r"shards \[0, 1, 2\] belong to another plan"):
        seal(dataset_root, origin_of(load_manifest(dataset_root), plan_id="another"))


def test_surplus_receipts_stop_the_seal(dataset_root: Path) -> None:
    with pytest.raises(DatasetError, match=r"receipts of shards \[2\] that are not planned"):
        seal(dataset_root, origin_of(load_manifest(dataset_root), num_shards=2))


def test_a_manifest_of_a_future_version_names_both_versions(dataset_root: Path) -> None:
    edit(dataset_root / MANIFEST, schema_version=7, invented_later={"x": 1})
    with pytest.raises(DatasetError, match="schema version 7; this maskloom reads 2"):
        load_manifest(dataset_root)


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"schema_version": 1}', "\x00\xff"])
def test_a_manifest_that_is_none_is_refused(dataset_root: Path, content: str) -> None:
    (dataset_root / MANIFEST).write_text(content)
    with pytest.raises(DatasetError, match=MANIFEST):
        load_manifest(dataset_root)


@pytest.mark.parametrize("files", [[], {"tar": 3}, {}, None])
def test_a_receipt_that_is_none_is_refused(dataset_root: Path, files: Any) -> None:
    edit(receipt_path(dataset_root, 0), files=files, surplus=0)
    with pytest.raises(DatasetError, match=r"000000\.json cannot be understood"):
        read_receipt(dataset_root, 0)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/data/0.tar", "data/../../x.tar"])
def test_a_receipt_that_points_outside_its_folder_is_refused(dataset_root: Path, path: str) -> None:
    files = json.loads(receipt_path(dataset_root, 0).read_bytes())["files"]
    edit(receipt_path(dataset_root, 0), files=files | {"tar": files["tar"] | {"path": path}})
    with pytest.raises(DatasetError, match="outside its dataset folder"):
        read_receipt(dataset_root, 0)
