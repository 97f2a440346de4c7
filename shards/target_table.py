"""Stored teacher targets on disk: rows in the order of the base shard, bound to its digest, one column per view."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shards.errors import CorruptShardError, DatasetError, MissingTargetError, did_you_mean
from shards.index import ArrowTable
from shards.receipt import FileRecord, receipt_path
from shards.schema import BLOCK
from shards.storage import (
    bytes_digest,
    canonical_json,
    create_if_absent,
    file_digest,
    publish,
    replace_file,
    short_digest,
    storage_errors,
    sync,
    temporary_path,
)

if TYPE_CHECKING:
    from shards.dataset import Dataset, Ids

TARGETS = "targets"
TARGET = "target.json"

_OPEN_SHARDS = 256
_KEPT_BLOCKS = 4096
"""What a reader keeps open: files of shards, and views on their blocks, which are pages of the map and no copies."""

STORED_TYPES: Mapping[str, pa.DataType] = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
}
"""Element types that a target may be stored in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """Everything that decides the values of a target; its hash is part of the target's id.

    Args:
        teacher: Name of the teacher.
        teacher_settings: Its settings.
        weights_sha256: Digest of its weights, if it has any.
        preprocessing: How pixels become the teacher's input, in words.
        views: The named views, as JSON: policy, its parameters, count and seed.
        shape: Shape of one view's target, for example (196, 108).
        dtype: Element type on disk.
        software: Library versions that the values depend on.
    """

    teacher: str
    teacher_settings: Mapping[str, Any]
    weights_sha256: str | None
    preprocessing: str
    views: Mapping[str, Any]
    shape: tuple[int, ...]
    dtype: str
    software: Mapping[str, str]

    @property
    def target_id(self) -> str:
        """Name of the target's folder: teacher and hash of the whole specification."""
        return f"{self.teacher}-{short_digest(bytes_digest(canonical_json(asdict(self))))}"

    @property
    def num_views(self) -> int:
        """How many named views are stored."""
        return int(self.views["count"])

    @property
    def row_values(self) -> int:
        """Values in one view's target."""
        return int(np.prod(self.shape))

    @property
    def row_bytes(self) -> int:
        """Bytes that one sample takes, over all views."""
        return self.row_values * self.num_views * int(np.dtype(self.dtype).itemsize)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetSpec:
        """Read a specification back."""
        return cls(**{**data, "shape": tuple(data["shape"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReceipt:
    """The commit of one shard of a target, bound to the digest of the base shard it was computed from."""

    shard: int
    target_id: str
    base_digest: str
    samples: int
    file: FileRecord

    def to_json(self) -> bytes:
        """Serialise the receipt."""
        return canonical_json(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTarget:
    """The content of `target.json`: the specification, what is stored, and how far it is from a float32 recomputation."""

    target_id: str
    spec: TargetSpec
    dataset_id: str
    num_samples: int
    num_bytes: int
    parity: Mapping[str, float]
    receipts_digest: str = field(default="")

    def to_json(self) -> bytes:
        """Serialise the sealed target."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> SealedTarget:
        """Read `target.json` back."""
        content = json.loads(data)
        return cls(**{**content, "spec": TargetSpec.from_json(content["spec"])})


def target_folder(root: Path, target_id: str) -> Path:
    """Return the folder of a target inside the dataset `root`."""
    return root / TARGETS / target_id


TargetBlock = tuple[list[str], list[npt.NDArray[Any]]]
"""Keys of up to 64 samples, and for each view an array (samples, *shape) of the stored dtype."""


def write_target_shard(dataset: Dataset, spec: TargetSpec, shard: int, blocks: Iterable[TargetBlock]) -> int:
    """Store one shard of a target, block by block, commit its receipt, and return the number of samples.

    Args:
        dataset: The dataset the target belongs to.
        spec: What the values are.
        shard: Number of the base shard.
        blocks: The blocks of the base shard in order.

    Raises:
        StorageError: The target cannot be written.
    """
    folder = target_folder(dataset.root, spec.target_id)
    temporary = temporary_path(folder, f"{shard:06d}.arrow")
    try:
        with storage_errors(temporary):
            samples = _write_blocks(temporary, spec, blocks)
            sync(temporary)
        digest, size = file_digest(temporary, "sha256"), temporary.stat().st_size
        name = f"{shard:06d}-{short_digest(digest)}.arrow"
        publish(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    receipt = TargetReceipt(
        shard=shard,
        target_id=spec.target_id,
        base_digest=dataset.shard_digest(shard),
        samples=samples,
        file=FileRecord(path=name, bytes=size, digest=digest),
    )
    create_if_absent(folder, receipt_path(folder, shard), receipt.to_json())
    return samples


def _write_blocks(path: Path, spec: TargetSpec, blocks: Iterable[TargetBlock]) -> int:
    element = STORED_TYPES[spec.dtype]
    kind = pa.list_(element, spec.row_values)
    schema = pa.schema([("key", pa.string()), *((f"view{k}", kind) for k in range(spec.num_views))])
    samples = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for keys, views in blocks:
            flat = [pa.array(np.ascontiguousarray(view).reshape(-1), element) for view in views]
            columns = [pa.FixedSizeListArray.from_arrays(values, spec.row_values) for values in flat]
            writer.write_batch(pa.RecordBatch.from_arrays([pa.array(keys, pa.string()), *columns], schema=schema))
            samples += len(keys)
    return samples


def read_target_receipt(folder: Path, shard: int) -> TargetReceipt:
    """Read the receipt of one shard of a target.

    Raises:
        DatasetError: There is none, or it cannot be understood.
    """
    path = receipt_path(folder, shard)
    try:
        content = json.loads(path.read_bytes())
        return TargetReceipt(**{**content, "file": FileRecord.from_json(content["file"])})
    except FileNotFoundError:
        raise DatasetError(
            f"Shard {shard} of the target {folder} has no receipt: run the same command again."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"The receipt {path} cannot be understood: {error}.") from error


def seal_target(dataset: Dataset, spec: TargetSpec, parity: Mapping[str, float]) -> SealedTarget:
    """Check that every shard of a target is there and bound to the present base shard, and write `target.json`.

    Raises:
        DatasetError: A shard is missing, or was computed from another version of the base shard.
    """
    folder = target_folder(dataset.root, spec.target_id)
    receipts = [read_target_receipt(folder, shard) for shard in range(dataset.manifest.num_shards)]
    for receipt in receipts:
        require_bound(dataset, receipt)
    sealed = SealedTarget(
        target_id=spec.target_id,
        spec=spec,
        dataset_id=dataset.dataset_id,
        num_samples=sum(receipt.samples for receipt in receipts),
        num_bytes=sum(receipt.file.bytes for receipt in receipts),
        parity=dict(parity),
        receipts_digest=bytes_digest(b"".join(receipt.to_json() for receipt in receipts)),
    )
    replace_file(folder, folder / TARGET, sealed.to_json())
    return sealed


def require_bound(dataset: Dataset, receipt: TargetReceipt) -> None:
    """Check that a target's shard was computed from the base shard as it is now.

    Raises:
        DatasetError: The base shard has changed since.
    """
    if receipt.base_digest != dataset.shard_digest(receipt.shard):
        raise DatasetError(
            f"Target {receipt.target_id} of {dataset.root} is stale: shard {receipt.shard} has changed since it was "
            f"computed. Delete {target_folder(dataset.root, receipt.target_id)} and run `maskloom targets` again."
        )


def sealed_targets(root: Path) -> list[str]:
    """Return the ids of all sealed targets of the dataset `root`."""
    return sorted(path.parent.name for path in (root / TARGETS).glob(f"*/{TARGET}"))


def read_sealed(root: Path, target_id: str) -> SealedTarget:
    """Read what was sealed about the target `target_id` of the dataset `root`.

    Raises:
        DatasetError: It cannot be understood, or describes another target than its folder is named for.
    """
    path = target_folder(root, target_id) / TARGET
    try:
        sealed = SealedTarget.from_json(path.read_bytes())
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} cannot be understood: {error}. Delete its folder and run `maskloom targets`."
        ) from error
    if sealed.spec.target_id != target_id:
        raise DatasetError(
            f"{path} does not describe the target of its folder, but {sealed.spec.target_id}: it was edited, or moved. "
            "Delete its folder and run `maskloom targets`."
        )
    return sealed


def open_target(dataset: Dataset, name: str) -> TargetTable:
    """Open a sealed target by its id, or by the name of its teacher where that is unambiguous.

    Raises:
        MissingTargetError: Nothing fits; the message names what exists and the command that makes it.
    """
    ids = sealed_targets(dataset.root)
    fitting = [target_id for target_id in ids if name in (target_id, target_id.rpartition("-")[0])]
    if len(fitting) == 1:
        return TargetTable(dataset, read_sealed(dataset.root, fitting[0]).spec)
    if fitting:
        raise MissingTargetError(f"{dataset.root} has several targets '{name}': name one of {', '.join(fitting)}.")
    held = f"holds {', '.join(ids)}" if ids else "holds no sealed target"
    names = [*ids, *(target_id.rpartition("-")[0] for target_id in ids)]
    raise MissingTargetError(
        f"Stored target '{name}' was asked for, but {dataset.root} {held}.{did_you_mean(name, names)} "
        f"Make it with `maskloom targets {dataset.root} --teacher {name}`."
    )


class TargetTable:
    """Random access to the rows of one stored target, by memory map.

    Args:
        dataset: The dataset that the target belongs to.
        spec: What the values are.
    """

    def __init__(self, dataset: Dataset, spec: TargetSpec) -> None:
        self.spec = spec
        self._dataset = dataset
        self._folder = target_folder(dataset.root, spec.target_id)
        self._tables: dict[int, ArrowTable] = {}
        self._views: dict[tuple[int, int, int], npt.NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "_dataset": self._dataset, "_folder": self._folder, "_tables": {}, "_views": {}}

    def read(self, ids: Ids, k: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the stored rows of view `k[i]` of sample `ids[i]`: (samples, *shape) of the stored dtype.

        Raises:
            CorruptShardError: A file is missing or damaged.
            DatasetError: The target is stale.
        """
        rows = np.empty((len(ids), self.spec.row_values), self.spec.dtype)
        shards, places = self._dataset.locate(ids)
        for out, shard, place, view in zip(rows, shards.tolist(), places.tolist(), k.tolist(), strict=True):
            out[:] = self._block(shard, place // BLOCK, view)[place % BLOCK]
        return rows.reshape(len(ids), *self.spec.shape)

    def keys(self, shard: int) -> list[str]:
        """Return the keys stored beside the rows of one shard, in order."""
        table = self._table(shard)
        return [str(key) for block in range(table.num_blocks) for key in table.block(block).column("key").to_pylist()]

    def _block(self, shard: int, block: int, view: int) -> npt.NDArray[Any]:
        found = self._views.get((shard, block, view))
        if found is None:
            if len(self._views) >= _KEPT_BLOCKS:
                self._views.pop(next(iter(self._views)))
            column = self._table(shard).block(block).column(f"view{view}")
            values = column.flatten().to_numpy(zero_copy_only=True)
            found = self._views[shard, block, view] = values.reshape(-1, self.spec.row_values)
        return found

    def _table(self, shard: int) -> ArrowTable:
        table = self._tables.get(shard)
        if table is None:
            receipt = read_target_receipt(self._folder, shard)
            require_bound(self._dataset, receipt)
            path = self._folder / receipt.file.path
            if not path.is_file() or path.stat().st_size != receipt.file.bytes:
                raise CorruptShardError(
                    f"{path} is missing or has another size than its receipt says ({receipt.file.bytes})."
                )
            if len(self._tables) >= _OPEN_SHARDS:
                self._tables.pop(next(iter(self._tables)))
            table = self._tables[shard] = ArrowTable(path)
        return table
