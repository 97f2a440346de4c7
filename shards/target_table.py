"""Stored teacher targets on disk: rows in the order of the base shard, bound to its digest, one column per view."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shards.array_header import UnreadableArrayError, read_array_header
from shards.bounded import Bounded
from shards.errors import CorruptShardError, Damage, DatasetError, MissingTargetError, did_you_mean
from shards.index import ArrowTable
from shards.location import Root, store_of
from shards.open_files import most_open_shards
from shards.receipt import RECEIPTS, FileRecord
from shards.schema import BLOCK
from shards.shard_table import BLOCKS_PER_SHARD
from shards.storage import (
    bytes_digest,
)
from shards.store import Work
from shards.target_spec import STORED_TYPES, SealedTarget, TargetReceipt, TargetSpec

if TYPE_CHECKING:
    from shards.dataset import Dataset
    from shards.shard_table import Ids

__all__ = [
    "STORED_TYPES",
    "TARGETS",
    "SealedTarget",
    "TargetReceipt",
    "TargetSpec",
    "TargetTable",
    "open_target",
    "read_sealed",
    "read_target_receipt",
    "require_bound",
    "sealed_targets",
    "target_folder",
]

TARGETS = "targets"
TARGET = "target.json"
PROJECTION = "projection.npy"
"""Where a target stored as principal components keeps what turns them into values: the mean and the components in turn."""


def target_folder(root: Root, target_id: str) -> Root:
    """Return the folder of a target inside the dataset `root`."""
    return root / TARGETS / target_id if isinstance(root, Path) else root.folder(f"{TARGETS}/{target_id}")


def read_target_receipt(folder: Root, shard: int) -> TargetReceipt:
    """Read the receipt of one shard of a target.

    Raises:
        DatasetError: There is none, or it cannot be understood.
        CorruptShardError: It cannot be had.
    """
    path = f"{RECEIPTS}/{shard:06d}.json"
    try:
        content = json.loads(store_of(folder).read(path))
        return TargetReceipt(**{**content, "file": FileRecord.from_json(content["file"])})
    except CorruptShardError as error:
        if error.kind != Damage.MISSING:
            raise
        raise DatasetError(
            f"Shard {shard} of the target {folder} has no receipt: run the same command again."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"The receipt {folder}/{path} cannot be understood: {error}.") from error


def require_bound(dataset: Dataset, receipt: TargetReceipt) -> None:
    """Check that a target's shard was computed from the base shard as it is now.

    Raises:
        CorruptShardError: The base shard has changed since.
    """
    if receipt.base_digest != dataset.shard_digest(receipt.shard):
        raise CorruptShardError(
            f"Target {receipt.target_id} of {dataset.root} is stale: shard {receipt.shard} has changed since it was "
            f"computed. {_make_anew(dataset.root, receipt.target_id)}",
            kind=Damage.TARGET,
            shard=receipt.file.path,
        )


def _make_anew(root: Root, target_id: str) -> str:
    """Say what to do about a target that cannot be used."""
    return f"Run `maskloom drop {root} {target_id}`, and `maskloom targets` again."


def sealed_targets(root: Root) -> list[str]:
    """Return the ids of all sealed targets of the dataset `root`.

    Raises:
        DatasetError: The server of the dataset does not list.
    """
    names = store_of(root).folders(TARGETS)
    if names is None:
        raise DatasetError(
            f"{root} is on a server that does not list folders, so nobody knows which targets there are. Name a target by "
            "its whole id, as `maskloom targets` printed it."
        )
    return [name for name in names if _is_sealed(root, name)]


def _is_sealed(root: Root, target_id: str) -> bool:
    try:
        store_of(root).read(f"{TARGETS}/{target_id}/{TARGET}")
    except CorruptShardError as error:
        if error.kind != Damage.MISSING:
            raise
        return False
    return True


def read_sealed(root: Root, target_id: str) -> SealedTarget:
    """Read what was sealed about the target `target_id` of the dataset `root`.

    Raises:
        DatasetError: It cannot be understood, or describes another target than its folder is named for.
        CorruptShardError: It is not there, or cannot be had.
    """
    path = f"{TARGETS}/{target_id}/{TARGET}"
    try:
        sealed = SealedTarget.from_json(store_of(root).read(path))
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{root}/{path} cannot be understood: {error}. {_make_anew(root, target_id)}") from error
    if sealed.spec.target_id != target_id:
        raise DatasetError(
            f"{root}/{path} does not describe the target of its folder, but {sealed.spec.target_id}: it was edited, or "
            f"moved. {_make_anew(root, target_id)}"
        )
    return sealed


def open_target(dataset: Dataset, name: str) -> TargetTable:
    """Open a sealed target by its id, or by the name of its teacher where that is unambiguous.

    Raises:
        MissingTargetError: Nothing fits; the message names what exists and the command that makes it.
    """
    if _is_sealed(dataset.root, name):
        return _open_sealed(dataset, name)
    ids = sealed_targets(dataset.root)
    fitting = [target_id for target_id in ids if name == target_id.rpartition("-")[0]]
    if len(fitting) == 1:
        return _open_sealed(dataset, fitting[0])
    if fitting:
        raise MissingTargetError(f"{dataset.root} has several targets '{name}': name one of {', '.join(fitting)}.")
    held = f"holds {', '.join(ids)}" if ids else "holds no sealed target"
    names = [*ids, *(target_id.rpartition("-")[0] for target_id in ids)]
    raise MissingTargetError(
        f"Stored target '{name}' was asked for, but {dataset.root} {held}.{did_you_mean(name, names)} "
        f"Make it with `maskloom targets {dataset.root} --teacher {name}`."
    )


def _open_sealed(dataset: Dataset, target_id: str) -> TargetTable:
    sealed = read_sealed(dataset.root, target_id)
    return TargetTable(dataset, sealed.spec, projection_sha256=sealed.projection_sha256)


class TargetTable:
    """Random access to the rows of one stored target; rows of a block are views of its file, and no copies.

    Before the first row of a block is handed out, its keys are compared with those of the base block.

    Args:
        dataset: The dataset that the target belongs to.
        spec: What the values are.
        projection_sha256: Digest of the projection that it was sealed with; None for a target that is not sealed yet.
    """

    def __init__(self, dataset: Dataset, spec: TargetSpec, *, projection_sha256: str | None = None) -> None:
        self.spec = spec
        self._dataset = dataset
        self._projection_sha256 = projection_sha256
        self._folder = target_folder(dataset.root, spec.target_id)
        self._forget()

    def _forget(self) -> None:
        self._store = store_of(self._folder, f"{self._dataset.dataset_id.partition(':')[0]}/{self.spec.target_id}")
        self._tables: Bounded[int, ArrowTable] = Bounded(most_open_shards())
        kept = self._store.kept_blocks(BLOCK * self.spec.row_bytes)
        self._blocks: Bounded[int, list[npt.NDArray[Any]]] = Bounded(kept)

    def __getstate__(self) -> dict[str, Any]:
        names = ("spec", "_dataset", "_folder", "_projection_sha256")
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def read(self, ids: Ids, k: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the stored rows of view `k[i]` of sample `ids[i]`: (samples, *stored_shape) of the stored dtype.

        Raises:
            CorruptShardError: A file is missing, damaged, stale, or that of other samples.
        """
        rows = np.empty(len(ids) * self.spec.row_values, self.spec.dtype)
        blocks = self._blocks
        self._store.ahead(self._missing(ids))
        views = [
            (blocks.get(place) or self._load(place))[view][row]
            for (place, row), view in zip(self._dataset.places(ids), k.tolist(), strict=True)
        ]
        if views:
            np.concatenate(views, out=rows)
        return rows.reshape(len(ids), *self.spec.stored_shape)

    @cached_property
    def projection(self) -> npt.NDArray[np.float32] | None:
        """What turns principal components into values: the mean, then the components; None where values are stored.

        Raises:
            CorruptShardError: The file is missing, damaged, or not the one that the target was sealed with.
        """
        if self.spec.coding.components is None:
            return None
        data = self._store.read(PROJECTION)
        wanted = (1 + self.spec.coding.components, self.spec.shape[-1])
        try:
            found = read_array_header(data)
        except UnreadableArrayError as error:
            raise self._damaged_projection(str(error)) from error
        if found != (wanted, "float32"):
            raise self._damaged_projection(f"it holds {found[1]} {found[0]}, needed are float32 {wanted}")
        if self._projection_sha256 not in (None, bytes_digest(data)):
            raise self._damaged_projection("it is not the one that the target was sealed with")
        projection: npt.NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
        return projection

    @property
    def _remedy(self) -> str:
        return _make_anew(self._dataset.root, self.spec.target_id)

    def _damaged_projection(self, what: str) -> CorruptShardError:
        return CorruptShardError(
            f"{self._folder}/{PROJECTION} cannot be used: {what}. {self._remedy}",
            kind=Damage.TARGET,
            shard=PROJECTION,
        )

    def _missing(self, ids: Ids) -> Iterator[Work]:
        """Yield the work that opens the blocks of samples, as far as they are not."""
        for place in dict.fromkeys(place for place, _ in self._dataset.places(ids)):
            if place not in self._blocks:
                yield partial(self._load, place)

    def keys(self, shard: int) -> list[str]:
        """Return the keys stored beside the rows of one shard, in order."""
        table = self._table(shard)
        return [str(key) for block in range(table.num_blocks) for key in table.block(block).column("key").to_pylist()]

    def _load(self, place: int) -> list[npt.NDArray[Any]]:
        """Open a block, and return the rows of each of its views."""
        shard, block = divmod(place, BLOCKS_PER_SHARD)
        table = self._table(shard)
        batch = table.block(block)
        self._require_same_keys(table, batch, self._dataset.reader(shard).facts(block, "key"))
        values = [self._values(table, batch, f"view{view}") for view in range(self.spec.num_views)]
        self._blocks[place] = values
        return values

    def _require_same_keys(self, table: ArrowTable, batch: pa.RecordBatch, keys: list[str]) -> None:
        stored = batch.column("key").to_pylist() if "key" in batch.schema.names else []
        if stored != keys:
            differing = next((key for key, other in zip_longest(keys, stored) if key != other), None)
            raise CorruptShardError(
                f"{table.path} does not hold the rows of sample '{differing}' where the dataset has it: the file is that of "
                f"other samples. {self._remedy}",
                kind=Damage.TARGET,
                shard=table.shard,
                key=differing,
            )

    def _values(self, table: ArrowTable, batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
        place = batch.schema.get_field_index(name)
        wanted = pa.list_(STORED_TYPES[self.spec.dtype], self.spec.row_values)
        if place < 0 or batch.column(place).type != wanted or batch.column(place).null_count:
            raise CorruptShardError(
                f"{table.path}: column '{name}' is not {self.spec.row_values} values of {self.spec.dtype} a row. "
                f"{self._remedy}",
                kind=Damage.TARGET,
                shard=table.shard,
            )
        values = batch.column(place).flatten().to_numpy(zero_copy_only=True)
        rows: npt.NDArray[Any] = values.reshape(-1, self.spec.row_values)
        return rows

    def _table(self, shard: int) -> ArrowTable:
        table = self._tables.get(shard)
        if table is None:
            receipt = read_target_receipt(self._folder, shard)
            require_bound(self._dataset, receipt)
            table = self._tables[shard] = self._store.blocks(receipt.file.path, receipt.file.bytes)
        return table
