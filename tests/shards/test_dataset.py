import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError, MissingDatasetError, MissingFieldError, MissingTargetError
from shards.manifest import Origin, seal
from shards.receipt import FileRecord, Receipt, commit_receipt
from shards.schema import BLOCK


def dataset_of(root: Path, sizes: list[int]) -> Dataset:
    """Seal a dataset of shards with these numbers of samples, whose files are not there."""
    for shard, samples in enumerate(sizes):
        files = {name: FileRecord(path=f"data/{shard}.{name}", bytes=0, digest="sha256:0") for name in ("tar", "index")}
        receipt = Receipt(
            shard=shard,
            plan_id="plan",
            split="",
            samples=samples,
            rejects={},
            field_samples={"image": samples},
            field_bytes={"image": samples},
            licences={},
            ignored_members={},
            files=files,
        )
        commit_receipt(root, receipt)
    origin = Origin(
        plan_id="plan",
        source="",
        settings={},
        software={},
        fields={},
        classes=None,
        num_items=sum(sizes),
        num_shards=len(sizes),
        ignored={},
    )
    seal(root, origin)
    return Dataset.open(root)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 5, 63, 64, 65, 127, 128, 200]), min_size=1, max_size=6))
def test_every_number_is_one_row_of_one_shard(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset = dataset_of(tmp_path_factory.mktemp("located"), sizes)
    shards, rows = dataset.locate(np.arange(sum(sizes)))
    found = sorted(zip(shards.tolist(), rows.tolist(), strict=True))
    assert found == [(shard, row) for shard, size in enumerate(sizes) for row in range(size)]


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 63, 64, 65, 128, 200]), min_size=1, max_size=6))
def test_full_blocks_lie_side_by_side_and_come_before_all_tails(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = dataset_of(tmp_path_factory.mktemp("located"), sizes)
    shards, rows = dataset.locate(np.arange(sum(sizes)))
    full = sum(size // BLOCK for size in sizes) * BLOCK
    for start in range(0, full, BLOCK):
        assert len(set(shards[start : start + BLOCK].tolist())) == 1
        assert rows[start] % BLOCK == 0
        assert rows[start : start + BLOCK].tolist() == list(range(rows[start], rows[start] + BLOCK))
    tail_rows = np.array(sizes)[shards[full:]] // BLOCK * BLOCK
    assert np.all(rows[full:] >= tail_rows)


def test_a_number_out_of_range_is_refused(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    for wrong in (-1, dataset.num_samples):
        with pytest.raises(IndexError, match=rf"samples 0\.\.149; asked for {wrong}"):
            dataset.locate(np.array([wrong]))


def test_the_sealed_dataset_holds_every_picture_once(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    keys = dataset.keys(np.arange(dataset.num_samples))
    assert len(set(keys)) == dataset.num_samples == 150
    assert [dataset.shard_samples(shard) for shard in range(3)] == [70, 70, 10]


def test_a_flipped_bit_names_shard_key_and_field(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    tar, _ = dataset.shard_paths(0)
    reader = dataset.reader(0)
    key, offset = reader.facts(0, "key")[5], reader.facts(0, "image.offset")[5]
    content = bytearray(tar.read_bytes())
    content[offset + 100] ^= 4
    tar.write_bytes(content)
    with pytest.raises(CorruptShardError, match=rf"{tar.name}: field 'image' of sample '{key}'"):
        Dataset.open(dataset_root).read(np.array([5]), ("image",))
    assert Dataset.open(dataset_root).read(np.array([5]), ("text",))[0].key == key


def test_a_truncated_tar_names_the_first_sample_that_is_lost(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    tar, _ = dataset.shard_paths(0)
    offset = dataset.reader(0).facts(0, "image.offset")[63]
    tar.write_bytes(tar.read_bytes()[: offset + 10])
    assert len(Dataset.open(dataset_root).read(np.arange(63), ("image",))) == 63
    with pytest.raises(
        CorruptShardError, match=rf"should stand in bytes {offset}.*, the file has {offset + 10}"
    ) as caught:
        Dataset.open(dataset_root).read(np.array([63]), ("image",))
    assert caught.value.kind == "truncated"


def test_the_index_of_another_shard_is_noticed(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    (_, first), (_, second), (_, third) = (dataset.shard_paths(shard) for shard in range(3))
    shutil.copy(second, first)
    with pytest.raises(CorruptShardError):
        Dataset.open(dataset_root).read(np.arange(64), ("image",))
    shutil.copy(third, first)
    with pytest.raises(CorruptShardError, match=r"10 rows, the manifest .* says 70"):
        Dataset.open(dataset_root).read(np.arange(64), ("image",))


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_an_error_that_names_it(dataset_root: Path, which: int) -> None:
    path = Dataset.open(dataset_root).shard_paths(0)[which]
    path.unlink()
    with pytest.raises(CorruptShardError, match=path.name):
        Dataset.open(dataset_root).read(np.array([0]), ("image",))


def test_a_pickled_dataset_reads_the_same_samples_elsewhere(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    ids = np.array([149, 0, 64, 139])
    before = dataset.read(ids, ("image", "text"))
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 5000
    assert pickle.loads(pickled).read(ids, ("image", "text")) == before


def test_a_field_that_is_not_there_is_refused_with_the_closest_name(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    with pytest.raises(MissingFieldError, match=r"holds only .*image.*Did you mean 'image'\?"):
        dataset.read(np.array([0]), ("imgae",))
    with pytest.raises(MissingFieldError, match=r"Did you mean 'image\.width'\?"):
        dataset.column(np.array([0]), "image.widht")


def test_a_target_that_is_not_there_says_how_to_make_it(sealed: Path) -> None:
    with pytest.raises(MissingTargetError, match=r"holds no sealed target.*maskloom targets .* --teacher hog"):
        Dataset.open(sealed).target("hog")


def test_opening_something_else_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(MissingDatasetError, match="There is no folder"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(MissingDatasetError, match="holds no dataset"):
        Dataset.open(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(MissingDatasetError, match=r"Adopt them with `maskloom index"):
        Dataset.open(tmp_path)
    (tmp_path / "plan.arrow").write_bytes(b"")
    with pytest.raises(MissingDatasetError, match=r"is not finished"):
        Dataset.open(tmp_path)
    with pytest.raises(MissingDatasetError):
        Dataset.open(tmp_path / "a.tar")
    (tmp_path / "dataset.json").write_text("[1, 2")
    with pytest.raises(DatasetError, match="cannot be understood"):
        Dataset.open(tmp_path)


def test_the_identity_of_a_dataset_changes_with_its_content(sealed: Path, dataset_root: Path) -> None:
    assert Dataset.open(sealed).dataset_id == Dataset.open(dataset_root).dataset_id
    manifest = dataset_root / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"image_size": null', '"image_size": 99'))
    assert Dataset.open(sealed).dataset_id != Dataset.open(dataset_root).dataset_id


def test_columns_come_without_touching_a_tar(dataset_root: Path) -> None:
    for tar in (dataset_root / "data").glob("*.tar"):
        tar.write_bytes(b"")
    dataset = Dataset.open(dataset_root)
    ids = np.arange(150)
    assert set(dataset.column(ids, "image.width").tolist()) == {48}
    assert set(dataset.column(ids, "label").tolist()) == set(range(7))


@pytest.mark.parametrize("fields", [(), ("text",), ("label",), ("text", "label")])
def test_any_choice_of_fields_can_be_read(sealed: Path, fields: tuple[str, ...]) -> None:
    dataset = Dataset.open(sealed)
    samples = dataset.read(np.arange(dataset.num_samples), fields)
    assert all(set(sample.fields) == set(fields) for sample in samples)
    assert [sample.key for sample in samples] == dataset.keys(np.arange(dataset.num_samples))
