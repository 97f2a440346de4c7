"""A sealed dataset, opened for random access: any sample by its number, every byte checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shards.errors import CorruptShardError, DatasetError, MissingFieldError, did_you_mean
from shards.index import ArrowTable
from shards.manifest import MANIFEST, Manifest, load_manifest
from shards.receipt import require_inside
from shards.sample import Sample
from shards.schema import BLOCK
from shards.shard_reader import Row, ShardReader
from shards.storage import bytes_digest
from shards.target_table import TargetTable, open_target, sealed_targets

Ids = npt.NDArray[np.int64]

_OPEN_SHARDS = 256
_KEPT_BLOCKS = 2048
"""Blocks of the index that are kept as rows, about 40 kB each; the oldest makes room."""


class Dataset:
    """Random access to the samples of a sealed dataset.

    Samples are numbered 0 .. num_samples - 1 so that every run of 64 from a multiple of 64 lies side by side in one
    shard (a *full block*); the short tails of the shards come last. The numbering follows from the shard table alone, so
    nothing that grows with the number of samples is held in memory.

    A dataset opened for one of its splits has the samples of that split only, numbered from 0; shards keep their numbers.
    A Dataset can be pickled; files are opened again, on demand, in the process that uses them.
    """

    def __init__(self, root: Path, manifest: Manifest, dataset_id: str, split: str = "") -> None:
        self.root = root
        self.manifest = manifest
        self.dataset_id = dataset_id
        self.split = split
        self._forget()

    def _forget(self) -> None:
        """Start with no file open and no block read."""
        self._readers: dict[int, ShardReader] = {}
        self._rows: dict[tuple[int, int, tuple[str, ...]], list[Row]] = {}
        self._facts: dict[tuple[int, int, str], list[Any]] = {}

    @classmethod
    def open(cls, root: str | Path) -> Dataset:
        """Open the dataset folder `root`, or one split of it: `photos:val` is the split `val` of the folder `photos`.

        Raises:
            MissingDatasetError: There is no sealed dataset; the message says which command makes one.
            DatasetError: The manifest cannot be understood, or the dataset has no such split.
        """
        path, split = _path_and_split(Path(root))
        manifest = load_manifest(path)
        if split and split not in manifest.splits:
            known = ", ".join(manifest.splits) or "none: make them with `maskloom ingest --split val=0.1`"
            raise DatasetError(f"{path} has no split '{split}'; it has {known}.{did_you_mean(split, manifest.splits)}")
        identity = bytes_digest((path / MANIFEST).read_bytes())[7:23]
        return cls(path, manifest, f"{identity}:{split}" if split else identity, split)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("root", "manifest", "dataset_id", "split")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def num_samples(self) -> int:
        """Samples stored, in the split that was opened."""
        return self.manifest.splits[self.split].samples if self.split else self.manifest.num_samples

    def num_with(self, field: str) -> int:
        """Return how many samples, in the split that was opened, hold a field; 0 for an unknown one."""
        if self.split:
            return self.manifest.splits[self.split].fields.get(field, 0)
        return self.manifest.fields[field].samples if field in self.manifest.fields else 0

    @cached_property
    def _shards(self) -> ArrowTable:
        return ArrowTable(self.root / self.manifest.shards.path)

    @cached_property
    def _samples(self) -> Ids:
        column: Ids = self._shards.block(0).column("samples").to_numpy()
        return column

    @cached_property
    def _opened_shards(self) -> Ids:
        """Numbers of the shards that the opened split is made of, in order."""
        splits = self._shards.block(0).column("split").to_pylist()
        return np.array([shard for shard, split in enumerate(splits) if self.split in ("", split)], dtype=np.int64)

    @cached_property
    def _first_blocks(self) -> Ids:
        return _counts_before(self._samples[self._opened_shards] // BLOCK)

    @cached_property
    def _first_tails(self) -> Ids:
        return _counts_before(self._samples[self._opened_shards] % BLOCK)

    @cached_property
    def _num_full_blocks(self) -> int:
        return int((self._samples[self._opened_shards] // BLOCK).sum())

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the shard and the row inside it of every sample number; O(log shards) each.

        Raises:
            IndexError: A number is negative or not below num_samples.
        """
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_samples):
            raise IndexError(f"{self.root} has samples 0..{self.num_samples - 1}; asked for {ids.min()}..{ids.max()}.")
        blocks, tails = ids // BLOCK, ids - self._num_full_blocks * BLOCK
        is_tail = tails >= 0
        by_block = np.searchsorted(self._first_blocks, blocks, side="right") - 1
        by_tail = np.searchsorted(self._first_tails, tails, side="right") - 1
        places = np.where(is_tail, by_tail, by_block)
        shards = self._opened_shards[places]
        block_rows = (blocks - self._first_blocks[places]) * BLOCK + ids % BLOCK
        tail_start = self._samples[shards] // BLOCK * BLOCK
        tail_rows = tail_start + tails - self._first_tails[places]
        return shards, np.where(is_tail, tail_rows, block_rows)

    def read(self, ids: Ids, fields: Sequence[str]) -> list[Sample]:
        """Read samples by number, each member checked against its digest.

        A field that a sample does not have is absent from its `fields`.

        Raises:
            MissingFieldError: The dataset holds no such field at all.
            CorruptShardError: Stored bytes differ from what was written; names shard, key and field.
        """
        for field in fields:
            self._require_field(field)
        wanted = tuple(fields)
        shards, places = self.locate(ids)
        return [
            self.reader(shard).read(self._block_rows(shard, place // BLOCK, wanted)[place % BLOCK])
            for shard, place in zip(shards.tolist(), places.tolist(), strict=True)
        ]

    def column(self, ids: Ids, name: str) -> npt.NDArray[Any]:
        """Return one indexed fact (`label`, `image.width`, ...) of many samples, without touching a tar.

        Raises:
            MissingFieldError: The index has no such column.
        """
        shards, places = self.locate(ids)
        return np.array(
            [
                self._block_facts(shard, place // BLOCK, name)[place % BLOCK]
                for shard, place in zip(shards.tolist(), places.tolist(), strict=True)
            ]
        )

    def _block_rows(self, shard: int, block: int, fields: tuple[str, ...]) -> list[Row]:
        rows = self._rows.get((shard, block, fields))
        if rows is None:
            reader = self.reader(shard)
            if reader.num_rows != self.shard_samples(shard):
                raise CorruptShardError(
                    f"The index of {reader.tar} has {reader.num_rows} rows, the manifest of {self.root} says "
                    f"{self.shard_samples(shard)}. Run `maskloom verify {self.root}`."
                )
            rows = reader.rows(block, fields)
            _keep(self._rows, (shard, block, fields), rows)
        return rows

    def _block_facts(self, shard: int, block: int, name: str) -> list[Any]:
        values = self._facts.get((shard, block, name))
        if values is None:
            values = self.reader(shard).facts(block, name)
            _keep(self._facts, (shard, block, name), values)
        return values

    def keys(self, ids: Ids) -> list[str]:
        """Return the keys of samples."""
        return [str(key) for key in self.column(ids, "key")]

    def target(self, name: str) -> TargetTable:
        """Open the sealed stored target `name`: a target id, or the name of the only such teacher.

        Raises:
            MissingTargetError: Not there or not sealed; the message names what exists and the command that makes it.
        """
        return open_target(self, name)

    def target_ids(self) -> list[str]:
        """Return the ids of all sealed targets."""
        return sealed_targets(self.root)

    def shard_digest(self, shard: int) -> str:
        """Return the recorded digest of a shard's tar."""
        return str(self._shards.block(0).column("tar_digest")[shard].as_py())

    def receipt_digest(self, shard: int) -> str:
        """Return the digest of the receipt that a shard was sealed with."""
        return str(self._shards.block(0).column("receipt_digest")[shard].as_py())

    def shard_samples(self, shard: int) -> int:
        """Return how many samples a shard holds."""
        return int(self._samples[shard])

    def shard_paths(self, shard: int) -> tuple[Path, Path]:
        """Return the tar and the index file of a shard."""
        table = self._shards.block(0)
        tar, index = (require_inside(str(table.column(name)[shard])) for name in ("tar", "index"))
        return self.root / tar, self.root / index

    def reader(self, shard: int) -> ShardReader:
        """Return the random-access reader of one shard."""
        reader = self._readers.get(shard)
        if reader is None:
            if len(self._readers) >= _OPEN_SHARDS:
                self._readers.pop(next(iter(self._readers))).close()
            reader = self._readers[shard] = ShardReader(*self.shard_paths(shard), self.manifest.kinds)
        return reader

    def _require_field(self, field: str) -> None:
        held = self.manifest.fields
        if field not in held:
            raise MissingFieldError(
                f"Field '{field}' was asked for, but {self.root} holds only {', '.join(held)}.{did_you_mean(field, held)}"
            )


def _path_and_split(path: Path) -> tuple[Path, str]:
    """Take `folder:split` apart; a folder that is really called so counts as a folder."""
    name, colon, split = path.name.rpartition(":")
    return (path.with_name(name), split) if colon and name and not path.exists() else (path, "")


def _counts_before(counts: Ids) -> Ids:
    """Return for every place the sum of all counts before it."""
    return np.cumsum(counts, dtype=np.int64) - counts


def _keep(kept: dict[Any, Any], place: Any, value: Any) -> None:  # noqa: ANN401 - a bounded cache of anything
    if len(kept) >= _KEPT_BLOCKS:
        kept.pop(next(iter(kept)))
    kept[place] = value
