"""A sealed dataset, opened for random access: any sample by its number, every byte checked on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shards.bounded import Bounded
from shards.errors import CorruptShardError, Damage, DatasetError, MissingFieldError, did_you_mean
from shards.index_block import IndexBlock
from shards.location import Root, locate_dataset, store_of
from shards.manifest import Manifest, parse_manifest, read_manifest
from shards.open_files import most_open_shards
from shards.remote.access import Access
from shards.sample import Sample
from shards.schema import BLOCK
from shards.shard_reader import ShardReader
from shards.shard_table import BLOCKS_PER_SHARD, Ids, ShardTable
from shards.storage import bytes_digest
from shards.store import Store, Work
from shards.target_table import TargetTable, open_target, sealed_targets

__all__ = ["Dataset", "Ids"]

OpenBlock = tuple[ShardReader, IndexBlock]
"""A block and what reads its rows."""

_KEPT_BLOCKS = 8192
"""Blocks of the index that are kept in memory for each choice of fields, about 20 kB each: those that a shuffle goes through
at a time, twice over."""


class Dataset:
    """Random access to the samples of a sealed dataset.

    Samples are numbered 0 .. num_samples - 1 so that every run of 64 from a multiple of 64 lies side by side in one
    shard (a *full block*); the short tails of the shards come last. The numbering follows from the shard table alone, so
    nothing that grows with the number of samples is held in memory.

    A dataset opened for one of its splits has the samples of that split only, numbered from 0; shards keep their numbers.
    A Dataset can be pickled; files are opened again, on demand, in the process that uses them.
    """

    def __init__(self, root: Root, manifest: Manifest, dataset_id: str, split: str = "") -> None:
        self.root = root
        self.manifest = manifest
        self.dataset_id = dataset_id
        self.split = split
        self._forget()

    def _forget(self) -> None:
        """Start with no file open and no block read."""
        self._readers: dict[int, ShardReader] = {}
        self._blocks: dict[tuple[str, ...], Bounded[int, OpenBlock]] = {}
        self._columns: dict[str, Bounded[int, list[Any]]] = {}

    @classmethod
    def open(cls, root: str | Path, *, access: Access | None = None) -> Dataset:
        """Open a dataset, or one split of it: `photos:val` is the split `val` of the folder `photos`.

        Args:
            root: A folder, or the URL of one: `s3://bucket/photos`, `https://host/photos:val`, or of any other scheme that
                fsspec knows. Remote datasets can only be read.
            access: How a remote dataset is read; by default as the environment says.

        Raises:
            MissingDatasetError: There is no sealed dataset; the message says which command makes one.
            DatasetError: The manifest cannot be understood, or the dataset has no such split.
            CorruptShardError: The server does not hand the manifest over.
        """
        place, split = locate_dataset(root, access)
        data = read_manifest(place)
        manifest = parse_manifest(place, data)
        if split and split not in manifest.splits:
            known = ", ".join(manifest.splits) or "none: make them with `maskloom ingest --split val=0.1`"
            raise DatasetError(f"{place} has no split '{split}'; it has {known}.{did_you_mean(split, manifest.splits)}")
        identity = bytes_digest(data)[7:23]
        return cls(place, manifest, f"{identity}:{split}" if split else identity, split)

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
    def store(self) -> Store:
        """What reads the files of the dataset."""
        return store_of(self.root, self.dataset_id.partition(":")[0])

    @cached_property
    def _shards(self) -> ShardTable:
        return ShardTable(self.store.table(self.manifest.shards.path), self.manifest.num_shards, self.split)

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the shard and the row inside it of every sample number; O(log shards) each.

        Raises:
            IndexError: A number is negative or not below num_samples.
        """
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_samples):
            raise IndexError(f"{self.root} has samples 0..{self.num_samples - 1}; asked for {ids.min()}..{ids.max()}.")
        return self._shards.locate(ids)

    def read(self, ids: Ids, fields: Sequence[str]) -> list[Sample]:
        """Read samples by number, header and payload of each member checked.

        A field that a sample does not have is absent from its `fields`.

        Raises:
            MissingFieldError: The dataset holds no such field at all.
            CorruptShardError: Stored bytes differ from what was written; names shard, key and field.
        """
        return [_sound(sample) for sample in self.read_each(ids, fields)]

    def read_each(self, ids: Ids, fields: Sequence[str]) -> list[Sample | CorruptShardError]:
        """Read samples by number like `read`; the place of a damaged one is taken by the error that tells what is wrong.

        Raises:
            MissingFieldError: The dataset holds no such field at all.
        """
        for field in fields:
            self._require_field(field)
        wanted = tuple(fields)
        blocks = self._blocks_with(wanted)
        self.store.ahead(self._indexes(ids))
        self.store.ahead(self._members(ids, wanted))
        samples: list[Sample | CorruptShardError] = []
        for place, row in self.places(ids):
            try:
                reader, block = blocks.get(place) or self._open_block(place, wanted)
                samples.append(reader.read((block, row)))
            except CorruptShardError as error:
                samples.append(error)
        return samples

    def _indexes(self, ids: Ids) -> Iterator[Work]:
        """Yield the work that brings the indexes of samples to this machine."""
        for shard in dict.fromkeys(place // BLOCKS_PER_SHARD for place, _ in self.places(ids)):
            if shard not in self._readers:
                yield partial(self.store.table, self._shards.path(shard, "index"))

    def _members(self, ids: Ids, fields: tuple[str, ...]) -> Iterator[Work]:
        """Yield the work that brings the members of samples to this machine, no range twice."""
        work: dict[object, Work] = {}
        for place, row in self.places(ids):
            with suppress(CorruptShardError):  # reading the sample meets the error again, and reports it
                _, block = self._blocks_with(fields).get(place) or self._open_block(place, fields)
                work |= block.tar.fetches(block.spans(row))
        yield from work.values()

    def column(self, ids: Ids, name: str) -> npt.NDArray[Any]:
        """Return one indexed fact (`label`, `image.width`, ...) of many samples, without touching a tar.

        Raises:
            MissingFieldError: The index has no such column.
            CorruptShardError: An index is damaged.
        """
        return np.array(self._values(ids, name))

    def keys(self, ids: Ids) -> list[str]:
        """Return the keys of samples."""
        return self._values(ids, "key")

    def _values(self, ids: Ids, name: str) -> list[Any]:
        self.store.ahead(self._indexes(ids))
        kept = self._columns.get(name)
        if kept is None:
            kept = self._columns[name] = Bounded(_KEPT_BLOCKS)
        return [(kept.get(place) or self._load_column(kept, place, name))[row] for place, row in self.places(ids)]

    def _load_column(self, kept: Bounded[int, list[Any]], place: int, name: str) -> list[Any]:
        values = kept[place] = self._reader_of_all_rows(place // BLOCKS_PER_SHARD).facts(place % BLOCKS_PER_SHARD, name)
        return values

    def places(self, ids: Ids) -> Iterator[tuple[int, int]]:
        """Yield the block of every sample, as the number shard * BLOCKS_PER_SHARD + block, and its row in there.

        Raises:
            IndexError: A number is negative or not below num_samples.
        """
        shards, rows = self.locate(ids)
        return zip((shards * BLOCKS_PER_SHARD + rows // BLOCK).tolist(), (rows % BLOCK).tolist(), strict=True)

    def _blocks_with(self, fields: tuple[str, ...]) -> Bounded[int, OpenBlock]:
        blocks = self._blocks.get(fields)
        if blocks is None:
            blocks = self._blocks[fields] = Bounded(_KEPT_BLOCKS)
        return blocks

    def _open_block(self, place: int, fields: tuple[str, ...]) -> OpenBlock:
        reader = self._reader_of_all_rows(place // BLOCKS_PER_SHARD)
        opened = self._blocks[fields][place] = reader, reader.block(place % BLOCKS_PER_SHARD, fields)
        return opened

    def _reader_of_all_rows(self, shard: int) -> ShardReader:
        reader = self.reader(shard)
        if reader.num_rows != self.shard_samples(shard):
            raise CorruptShardError(
                f"The index of {reader.name} has {reader.num_rows} rows, the manifest of {self.root} says "
                f"{self.shard_samples(shard)}. Run `maskloom verify {self.root}`.",
                kind=Damage.PAYLOAD,
                shard=reader.path,
            )
        return reader

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
        return self._shards.text(shard, "tar_digest")

    def receipt_digest(self, shard: int) -> str:
        """Return the digest of the receipt that a shard was sealed with."""
        return self._shards.text(shard, "receipt_digest")

    def shard_samples(self, shard: int) -> int:
        """Return how many samples a shard holds."""
        return int(self._shards.samples[shard])

    def shard_ids(self, shard: int) -> Ids:
        """Return the sample numbers of a shard of the dataset, or of the split, in the order of its rows."""
        return self._shards.ids(shard)

    def shard_paths(self, shard: int) -> tuple[Path, Path]:
        """Return the tar and the index file of a shard of a dataset on this machine.

        Raises:
            DatasetError: The dataset stands elsewhere.
        """
        return self.root / self._shards.path(shard, "tar"), self.root / self._shards.path(shard, "index")

    def reader(self, shard: int) -> ShardReader:
        """Return the random-access reader of one shard.

        Raises:
            CorruptShardError: The index is missing, or no Arrow file.
        """
        reader = self._readers.get(shard)
        if reader is None:
            self._forget_shards(len(self._readers) - most_open_shards() + 1)
            tar, index = self._shards.path(shard, "tar"), self._shards.path(shard, "index")
            reader = self._readers[shard] = ShardReader(
                lambda: self.store.open(tar),
                self.store.table(index),
                name=f"{self.root}/{tar}",
                path=tar,
                fields=self.manifest.kinds,
            )
        return reader

    def _forget_shards(self, count: int) -> None:
        """Drop the `count` shards that were opened first, with their blocks, so that their files are closed."""
        for shard in list(islice(self._readers, max(count, 0))):
            places = range(shard * BLOCKS_PER_SHARD, shard * BLOCKS_PER_SHARD + -(-self.shard_samples(shard) // BLOCK))
            for blocks in self._blocks.values():
                for place in places:
                    blocks.pop(place, None)
            self._readers.pop(shard, None)

    def _require_field(self, field: str) -> None:
        held = self.manifest.fields
        if field not in held:
            raise MissingFieldError(
                f"Field '{field}' was asked for, but {self.root} holds only {', '.join(held)}.{did_you_mean(field, held)}"
            )


def _sound(sample: Sample | CorruptShardError) -> Sample:
    if isinstance(sample, CorruptShardError):
        raise sample
    return sample
