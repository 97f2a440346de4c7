"""Datasets that are made up: captions to hang stored targets on, and shard tables of any length."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.views import ViewSet
from shards.dataset import Dataset
from shards.manifest import MANIFEST, SHARDS_SCHEMA, Origin, seal
from shards.sample import Provenance, Sample
from shards.schema import BLOCK
from shards.shard_writer import Member, ShardWriter, raw_sha256
from shards.target_spec import Coding
from shards.target_table import TargetSpec, TargetTable
from shards.target_writer import seal_target, write_target_shard

_FIELDS = {"text": "text"}

Rows = npt.NDArray[Any]


def write_captions(root: Path, *, shards: int, shard_size: int) -> Dataset:
    """Seal a dataset of captions of one word."""
    data = b"caption"
    member = Member(extension="txt", sha256=raw_sha256(data))
    facts = {"text.characters": len(data), "text.longest": len(data), "text.captions": 1}
    for shard in range(shards):
        with ShardWriter(root, shard=shard, plan_id="synthetic", fields=_FIELDS) as writer:
            for number in range(shard * shard_size, (shard + 1) * shard_size):
                sample = Sample(f"{number:012d}", {"text": data}, facts)
                writer.add(sample, {"text": member}, Provenance(source="", licence=None))
            writer.commit()
    origin = Origin(
        plan_id="synthetic",
        source="",
        settings={},
        software={},
        fields=_FIELDS,
        classes=None,
        num_items=shards * shard_size,
        num_shards=shards,
        ignored={},
    )
    seal(root, origin)
    return Dataset.open(root)


def write_target(
    dataset: Dataset, name: str, *, shape: tuple[int, ...], dtype: str, views: ViewSet, make: Callable[[int], Rows]
) -> TargetTable:
    """Seal a stored target of one view, of which `make(samples)` returns the rows of a block."""
    spec = TargetSpec(
        teacher=name,
        teacher_settings={},
        weights_sha256=None,
        preprocessing="",
        views=views.to_json(),
        shape=shape,
        coding=Coding(dtype=dtype),
        software={},
    )
    for shard in range(dataset.manifest.num_shards):
        write_target_shard(dataset, spec, shard, _blocks(dataset, shard, make))
    seal_target(dataset, spec, {})
    return dataset.target(spec.target_id)


def _blocks(dataset: Dataset, shard: int, make: Callable[[int], Rows]) -> Iterator[tuple[list[str], list[Rows]]]:
    for block in range(-(-dataset.shard_samples(shard) // BLOCK)):
        keys = dataset.reader(shard).facts(block, "key")
        yield keys, [make(len(keys))]


def repeat_shard(root: Path, times: int) -> None:
    """Make the only shard of a sealed dataset stand `times` over in its shard table: as many samples, one tar.

    Opening, planning and locating are those of a dataset of that size, and reads are real; only the bytes are few.
    """
    manifest = json.loads((root / MANIFEST).read_bytes())
    with pa.memory_map(str(root / manifest["shards"]["path"])) as source:
        only = pa.ipc.open_file(source).read_all().to_pylist()[0]
    samples, numbers = only["samples"], np.arange(times, dtype=np.int64)
    repeated = {name: pa.array([value] * times, SHARDS_SCHEMA.field(name).type) for name, value in only.items()}
    repeated["first_block"] = pa.array(numbers * (samples // BLOCK))
    repeated["first_tail"] = pa.array(numbers * (samples % BLOCK))
    path = root / "shards-repeated.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SHARDS_SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pydict(repeated, schema=SHARDS_SCHEMA))
    manifest["shards"] |= {"path": path.name, "bytes": path.stat().st_size}
    manifest |= {"num_shards": times, "num_samples": samples * times, "num_items": samples * times}
    for summary in manifest["fields"].values():
        summary["samples"] *= times
    (root / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
