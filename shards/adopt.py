"""Adopts a folder of WebDataset tars that others wrote: indexes them in place, without changing or copying a byte."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from shards.errors import DatasetError, SourceError
from shards.foreign_tar import describe_group, group_members
from shards.index import ArrowTable
from shards.location import require_folder
from shards.manifest import MANIFEST, Manifest, Origin, seal
from shards.receipt import FileRecord, committed_shards, read_receipt
from shards.schema import KINDS, Fields, RejectReason, field_of_extension, in_order
from shards.shard_commit import ShardRecord, commit_shard
from shards.storage import bytes_digest, canonical_json, file_digest, printable
from shards.tar import TarMember, iterate_members, split_member_name


def adopt(root: Path, *, on_shard: Callable[[int], None] = lambda _: None) -> Manifest:
    """Index every `*.tar` in the folder `root` and seal it as a dataset.

    Members are matched by key (the name up to its first dot) and extension; extensions that are no field are counted as
    ignored. Samples that could execute code, leave the archive, or cannot be told apart are rejected, with a reason.

    Raises:
        SourceError: There are no tars, or one is no readable archive.
        DatasetError: The folder is already a dataset, or not on this machine.
    """
    require_folder(root, "indexing")
    if (root / MANIFEST).exists():
        raise DatasetError(
            f"{root} is already a dataset. To index it anew, delete {root / MANIFEST} and {root / 'receipts'}."
        )
    tars = sorted(root.glob("*.tar"))
    if not tars:
        raise SourceError(f"There is no *.tar in {root}. Adopting needs the folder that holds the tars themselves.")
    plan_id = bytes_digest(canonical_json({printable(path.name): path.stat().st_size for path in tars}))
    fields = _declared_fields(tars)
    done = committed_shards(root)
    keys: set[str] = set()
    for shard, path in enumerate(tars):
        if shard not in done:
            _index_shard(root, path, ShardRecord(shard=shard, plan_id=plan_id, fields=fields), keys)
        keys.update(_stored_keys(root, shard))
        on_shard(shard)
    items = sum(_listed(root, shard) for shard in range(len(tars)))
    origin = Origin(
        plan_id=plan_id,
        source=f"adopted: {len(tars)} tars",
        settings={},
        software={},
        fields=fields,
        classes=None,
        num_items=items,
        num_shards=len(tars),
        ignored={},
    )
    return seal(root, origin)


def _listed(root: Path, shard: int) -> int:
    receipt = read_receipt(root, shard)
    return receipt.samples + sum(receipt.rejects.values())


def _declared_fields(tars: list[Path]) -> Fields:
    """Return every field that occurs in any of the tars with its kind; where kinds differ, the first that was met counts."""
    found: dict[str, str] = {}
    for path in tars:
        for member in iterate_members(path):
            known = field_of_extension(split_member_name(member.name)[1]) if isinstance(member, TarMember) else None
            if known is not None:
                found.setdefault(*known)
    if not found:
        endings = sorted({ending for spec in KINDS.values() for ending in spec.extensions})
        raise SourceError(f"None of the {len(tars)} tars holds a member that maskloom reads ({', '.join(endings)}).")
    return in_order(found.items())


def _stored_keys(root: Path, shard: int) -> Iterator[str]:
    index = ArrowTable(root / read_receipt(root, shard).files["index"].path)
    for number in range(index.num_blocks):
        yield from index.block(number).column("key").to_pylist()


def _index_shard(root: Path, path: Path, record: ShardRecord, keys: Container[str]) -> None:
    """Index one tar; a sample whose key an earlier tar has taken is rejected."""
    groups, record.ignored = group_members(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for group in groups:
            outcome = describe_group(descriptor, group, record.fields, source=path.name)
            if group.key in keys:
                outcome = RejectReason.DUPLICATE_MEMBER, f"key '{group.key}' occurs in an earlier tar"
            if isinstance(outcome, dict):
                record.rows.append(outcome)
            else:
                record.reject(printable(group.key), source=path.name, reason=outcome[0], detail=outcome[1])
    finally:
        os.close(descriptor)
    tar = FileRecord(path=path.name, bytes=path.stat().st_size, digest=file_digest(path, "xxh3_128"))
    commit_shard(root, record, tar)
