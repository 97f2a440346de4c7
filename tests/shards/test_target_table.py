import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset
from shards.errors import CorruptShardError, Damage, DatasetError, MissingTargetError
from shards.target_spec import Coding
from shards.target_table import TargetSpec, TargetTable, target_folder
from shards.target_writer import drop_target, seal_target, write_target_shard


def spec_of(dtype: str, teacher: str = "tokens") -> TargetSpec:
    return TargetSpec(
        teacher=teacher,
        teacher_settings={},
        weights_sha256="0" * 64,
        preprocessing="none",
        views={"count": 2, "seed": 0},
        shape=(3, 2),
        coding=Coding(dtype=dtype),
        software={},
    )


def values_of(dataset: Dataset, shard: int, dtype: str) -> np.ndarray:
    draws = np.random.default_rng(shard).random((dataset.shard_samples(shard), 2, 3, 2)) * 60000
    return draws.astype(dtype)


def store(dataset: Dataset, spec: TargetSpec, shard: int) -> None:
    values = values_of(dataset, shard, spec.dtype)
    keys = [dataset.reader(shard).facts(row // 64, "key")[row % 64] for row in range(len(values))]
    starts = range(0, len(keys), 64)
    write_target_shard(
        dataset, spec, shard, ((keys[i : i + 64], [values[i : i + 64, k] for k in range(2)]) for i in starts)
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint16", "uint32"])
def test_rows_come_back_for_the_sample_and_view_that_was_asked(dataset_root: Path, dtype: str) -> None:
    dataset, spec = Dataset.open(dataset_root), spec_of(dtype)
    for shard in range(3):
        store(dataset, spec, shard)
    assert seal_target(dataset, spec, {}).num_samples == 150
    table = pickle.loads(pickle.dumps(dataset.target("tokens")))
    ids = np.random.default_rng(0).permutation(150)
    views = ids % 2
    shards, rows = dataset.locate(ids)
    read = table.read(ids, views)
    assert read.dtype == np.dtype(dtype) and read.shape == (150, 3, 2)
    for got, shard, row, view in zip(read, shards, rows, views, strict=True):
        assert np.array_equal(got, values_of(dataset, int(shard), dtype)[row, view])


def test_a_target_that_is_not_complete_is_not_sealed(dataset_root: Path) -> None:
    dataset, spec = Dataset.open(dataset_root), spec_of("uint16")
    store(dataset, spec, 0)
    with pytest.raises(DatasetError, match=r"Shard 1 of the target .* has no receipt: run the same command again"):
        seal_target(dataset, spec, {})
    with pytest.raises(MissingTargetError, match="holds no sealed target"):
        dataset.target("tokens")


def test_names_of_targets_are_resolved_or_explained(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    for spec in (spec_of("uint16"), spec_of("uint32"), spec_of("float16", "hog")):
        for shard in range(3):
            store(dataset, spec, shard)
        seal_target(dataset, spec, {})
    assert dataset.target("hog").spec.teacher == "hog"
    assert dataset.target(spec_of("uint16").target_id).spec.dtype == "uint16"
    with pytest.raises(MissingTargetError, match="has several targets 'tokens': name one of tokens-"):
        dataset.target("tokens")
    with pytest.raises(MissingTargetError, match=r"Did you mean 'hog'\?"):
        dataset.target("hogg")


def test_a_target_file_of_another_size_is_refused(dataset_root: Path) -> None:
    dataset, spec = Dataset.open(dataset_root), spec_of("uint16")
    for shard in range(3):
        store(dataset, spec, shard)
    seal_target(dataset, spec, {})
    file = next(target_folder(dataset_root, spec.target_id).glob("000000-*.arrow"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptShardError, match="another size than its receipt says") as caught:
        dataset.target("tokens").read(np.array([0]), np.array([0]))
    assert caught.value.kind == Damage.TRUNCATED


def files_of(root: Path, spec: TargetSpec, shard: int) -> tuple[Path, Path]:
    folder = target_folder(root, spec.target_id)
    return next(folder.glob(f"{shard:06d}-*.arrow")), folder / "receipts" / f"{shard:06d}.json"


def test_a_file_of_another_shard_is_noticed_before_a_row_is_used(dataset_root: Path) -> None:
    """Shards 0 and 1 have 70 samples each, and 12-byte rows: their files have the same size if their keys have."""
    dataset, spec = Dataset.open(dataset_root), spec_of("uint16")
    for shard in range(3):
        store(dataset, spec, shard)
    seal_target(dataset, spec, {})
    (first, receipt), (second, _) = files_of(dataset_root, spec, 0), files_of(dataset_root, spec, 1)
    size = first.stat().st_size
    shutil.copy(second, first)
    receipt.write_text(receipt.read_text().replace(f'"bytes": {size}', f'"bytes": {first.stat().st_size}'))
    table = dataset.target("tokens")
    ids = np.arange(dataset.num_samples)
    shards, _ = dataset.locate(ids)
    damage = damage_of(table, ids)
    assert [error is not None for error in damage] == (shards == 0).tolist()
    assert {error.kind for error in damage if error} == {Damage.TARGET}
    for wrong in ids[shards == 0]:
        with pytest.raises(CorruptShardError, match="does not hold the rows of sample"):
            table.read(np.array([wrong]), np.array([0]))
    sound = ids[shards != 0]
    assert np.array_equal(table.read(sound, sound * 0)[:, 0, 0], expected_first_values(dataset, sound, "uint16"))


def damage_of(table: TargetTable, ids: np.ndarray) -> list[CorruptShardError | None]:
    """Return, for every sample, the error that reading its row raises, or None."""
    found: list[CorruptShardError | None] = []
    for sample in ids:
        try:
            table.read(np.array([sample]), np.array([0]))
            found.append(None)
        except CorruptShardError as error:
            found.append(error)
    return found


def expected_first_values(dataset: Dataset, ids: np.ndarray, dtype: str) -> np.ndarray:
    places = zip(*(part.tolist() for part in dataset.locate(ids)), strict=True)
    return np.array([values_of(dataset, shard, dtype)[row, 0, 0, 0] for shard, row in places])


def test_a_stale_target_says_so_for_every_sample_of_its_shard(dataset_root: Path) -> None:
    dataset, spec = Dataset.open(dataset_root), spec_of("uint16")
    for shard in range(3):
        store(dataset, spec, shard)
    seal_target(dataset, spec, {})
    _, receipt = files_of(dataset_root, spec, 2)
    receipt.write_text(receipt.read_text().replace(dataset.shard_digest(2), "xxh3_128:" + "0" * 32))
    damage = damage_of(dataset.target("tokens"), np.arange(150))
    shards, _ = dataset.locate(np.arange(150))
    assert [error is not None for error in damage] == (shards == 2).tolist()
    assert all("is stale: shard 2 has changed" in str(error) for error in damage if error)


def test_rows_of_another_shape_than_the_seal_says_are_refused(dataset_root: Path) -> None:
    dataset, spec = Dataset.open(dataset_root), spec_of("uint16")
    for shard in range(3):
        store(dataset, spec, shard)
    other = replace(spec, shape=(6, 2))
    target_folder(dataset_root, spec.target_id).rename(target_folder(dataset_root, other.target_id))
    table = TargetTable(dataset, other)
    with pytest.raises(CorruptShardError, match="column 'view0' is not 12 values of uint16"):
        table.read(np.array([0]), np.array([0]))


def test_a_dropped_target_is_gone_and_nothing_else_is(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    kept, dropped = spec_of("float16", "kept"), spec_of("float16", "dropped")
    for spec in (kept, dropped):
        for shard in range(3):
            store(dataset, spec, shard)
        seal_target(dataset, spec, {})
    before = {path for path in dataset_root.rglob("*") if path.is_file() and dropped.target_id not in path.parts}
    freed = drop_target(dataset, dropped.target_id)
    assert freed > 3 * 50 * 2 * 6 * 2
    assert {path for path in dataset_root.rglob("*") if path.is_file()} == before
    assert dataset.target_ids() == [kept.target_id]
    with pytest.raises(MissingTargetError, match=r"holds no target 'kep'; it holds kept-"):
        drop_target(dataset, "kep")


def test_a_target_that_would_be_outside_of_the_dataset_is_not_dropped(dataset_root: Path) -> None:
    with pytest.raises(MissingTargetError):
        drop_target(Dataset.open(dataset_root), "../data")
    assert (dataset_root / "data").is_dir()
