"""Writing a stored target: shard by shard, each committed by its receipt, and the seal over all of them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shards.errors import MissingTargetError, did_you_mean
from shards.location import require_folder
from shards.receipt import FileRecord, receipt_path
from shards.storage import (
    bytes_digest,
    create_if_absent,
    file_digest,
    publish,
    replace_file,
    short_digest,
    storage_errors,
    sync,
    temporary_path,
)
from shards.target_spec import STORED_TYPES, SealedTarget, TargetReceipt, TargetSpec
from shards.target_table import PROJECTION, TARGET, read_target_receipt, require_bound, target_folder

if TYPE_CHECKING:
    from shards.dataset import Dataset

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
    folder = require_folder(target_folder(dataset.root, spec.target_id), "storing a target")
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


def write_projection(dataset: Dataset, spec: TargetSpec, projection: npt.NDArray[np.float32]) -> None:
    """Keep what principal components are turned into values with, unless another writer has done so already.

    Args:
        dataset: The dataset the target belongs to.
        spec: What the values are.
        projection: The mean of a token, then its components, [1 + components, width].

    Raises:
        StorageError: The target cannot be written.
    """
    folder = require_folder(target_folder(dataset.root, spec.target_id), "storing a target")
    written = io.BytesIO()
    np.save(written, projection, allow_pickle=False)
    create_if_absent(folder, folder / PROJECTION, written.getvalue())


def seal_target(dataset: Dataset, spec: TargetSpec, parity: Mapping[str, float], *, num_blank: int = 0) -> SealedTarget:
    """Check that every shard of a target is there and bound to the present base shard, and write `target.json`.

    Raises:
        DatasetError: A shard is missing, or was computed from another version of the base shard.
    """
    folder = require_folder(target_folder(dataset.root, spec.target_id), "storing a target")
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
        num_blank=num_blank,
        receipts_digest=bytes_digest(b"".join(receipt.to_json() for receipt in receipts)),
        projection_sha256=None if spec.coding.components is None else file_digest(folder / PROJECTION, "sha256"),
    )
    replace_file(folder, folder / TARGET, sealed.to_json())
    return sealed


def drop_target(dataset: Dataset, target_id: str) -> int:
    """Remove a target, sealed or begun, and return how many bytes were freed. Nothing else is touched.

    The seal goes first: whoever reads meanwhile finds no target rather than a part of one. Killed, it can be run again.

    Raises:
        MissingTargetError: There is none of this id.
        StorageError: It cannot be removed.
    """
    targets = require_folder(target_folder(dataset.root, target_id), "removing a target").parent
    held = sorted(path.name for path in targets.iterdir() if path.is_dir()) if targets.is_dir() else []
    if target_id not in held:
        raise MissingTargetError(
            f"{dataset.root} holds no target '{target_id}'; it holds {', '.join(held) or 'none'}."
            f"{did_you_mean(target_id, held)}"
        )
    folder = targets / target_id
    freed = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    with storage_errors(folder):
        (folder / TARGET).unlink(missing_ok=True)
        shutil.rmtree(folder)
    return freed
