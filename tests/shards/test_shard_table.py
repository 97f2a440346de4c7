"""The shard table of a dataset of a thousand million samples, of which only the first shards are really there."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError
from shards.manifest import SHARDS_SCHEMA

SHARDS, PER_SHARD = 1_000_000, 1_001
ALL = np.arange(150)


def write_table(root: Path, columns: dict[str, pa.Array]) -> None:
    with (
        pa.OSFile(str(root / "shards-000000000000.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, SHARDS_SCHEMA) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=SHARDS_SCHEMA))


def describe(root: Path, **changed: object) -> None:
    """Change the manifest so that it names the table of `write_table`."""
    manifest = json.loads((root / "dataset.json").read_text())
    table = {"path": "shards-000000000000.arrow", "bytes": 0, "digest": "sha256:0"}
    (root / "dataset.json").write_text(json.dumps(manifest | {"shards": table} | changed))


def columns_of(dataset: Dataset) -> dict[str, pa.Array]:
    return {name: dataset._shards._rows.column(name) for name in SHARDS_SCHEMA.names}


@pytest.fixture
def huge(dataset_root: Path) -> Path:
    """The small dataset with a million shards in its table; the first three are there, every other one is of `val`."""
    real = columns_of(Dataset.open(dataset_root))
    more = SHARDS - 3
    samples = np.concatenate([real["samples"].to_numpy(), np.full(more, PER_SHARD)])
    numbers = {"samples": samples} | {
        name: np.cumsum(counts) - counts
        for name, counts in (("first_block", samples // 64), ("first_tail", samples % 64))
    }
    texts = {
        name: pa.concat_arrays([real[name], pa.repeat(real[name][0], more)]) for name in real if name not in numbers
    }
    splits = pa.array(["train", "val"]).take(pa.array(np.arange(SHARDS) % 2))
    write_table(dataset_root, texts | {name: pa.array(values) for name, values in numbers.items()} | {"split": splits})
    total = int(samples.sum())
    halves = {
        name: {"samples": int(samples[first::2].sum()), "fields": {}} for first, name in enumerate(("train", "val"))
    }
    describe(dataset_root, num_shards=SHARDS, num_samples=total, num_items=total, splits=halves)
    return dataset_root


def test_samples_are_found_among_a_million_shards(huge: Path, sealed: Path) -> None:
    dataset = Dataset.open(huge)
    assert dataset.num_samples == 150 + (SHARDS - 3) * PER_SHARD
    # The first 64 samples of shards 0 and 1 are full blocks; the tails, six of each, come after all full blocks.
    assert dataset.read(ALL[:128], ("image",)) == Dataset.open(sealed).read(ALL[:128], ("image",))
    full = 128 + (SHARDS - 3) * (PER_SHARD // 64) * 64
    assert [part.tolist() for part in dataset.locate(np.array([full, full + 6]))] == [[0, 1], [64, 64]]
    last = dataset.locate(np.array([dataset.num_samples - 1]))
    assert [part.tolist() for part in last] == [[SHARDS - 1], [PER_SHARD - 1]]


def test_a_split_of_a_million_shards_counts_its_own_only(huge: Path) -> None:
    dataset = Dataset.open(f"{huge}:val")
    ids = np.random.default_rng(0).integers(0, dataset.num_samples, 1000)
    shards, rows = dataset.locate(ids)
    assert set((shards % 2).tolist()) == {1}
    assert rows.max() < PER_SHARD and rows.min() >= 0
    assert dataset.locate(np.array([0]))[0].tolist() == [1]


def test_a_table_of_another_length_than_the_manifest_says_is_refused(dataset_root: Path) -> None:
    columns = columns_of(Dataset.open(dataset_root))
    write_table(dataset_root, {name: column.slice(0, 2) for name, column in columns.items()})
    describe(dataset_root)
    with pytest.raises(DatasetError, match="lists 2 shards, the manifest 3"):
        Dataset.open(dataset_root).read(ALL[:1], ("image",))


def test_text_that_points_out_of_the_table_is_damage(dataset_root: Path) -> None:
    columns = columns_of(Dataset.open(dataset_root))
    offsets = pa.array([0, 2_000_000_000, 2_000_000_001, 3], pa.int32()).buffers()[1]
    columns["tar"] = pa.StringArray.from_buffers(3, offsets, columns["tar"].buffers()[2])
    rows = pa.RecordBatch.from_pydict(columns | {"tar": pa.array(["a", "b", "c"])}, schema=SHARDS_SCHEMA)
    dataset = Dataset.open(dataset_root)
    dataset._shards._rows = rows.set_column(4, "tar", columns["tar"])
    with pytest.raises(CorruptShardError, match="block 0 cannot be read"):
        dataset.shard_paths(0)
