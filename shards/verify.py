"""Checks a dataset against everything it says about itself: hashes, tar structure, conservation, target alignment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from shards.dataset import Dataset
from shards.errors import MaskloomError
from shards.index import ArrowTable
from shards.location import require_folder
from shards.receipt import FileRecord, Receipt, read_receipt
from shards.schema import BLOCK
from shards.storage import bytes_digest, file_digest
from shards.tar import TarMember, iterate_members, split_member_name
from shards.target_table import TARGETS, TargetTable, read_sealed, read_target_receipt, require_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as recorded: where it is, and what is wrong with it."""

    where: str
    what: str


def verify(dataset: Dataset, *, on_shard: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """Check every byte of a dataset and return what is wrong; an empty list means that all is well.

    Args:
        dataset: The dataset to check.
        on_shard: Called with the number of each shard when it is done, for progress.

    Raises:
        DatasetError: The dataset is not on this machine.
    """
    root = require_folder(dataset.root, "verifying")
    if not _matches(root, dataset.manifest.shards):
        return [_damaged(dataset.manifest.shards)]
    findings: list[Finding] = []
    totals = Counter[str]()
    for shard in range(dataset.manifest.num_shards):
        findings += _check_shard(dataset, root, shard, totals)
        on_shard(shard)
    findings += _check_conservation(dataset, totals)
    for target_id in dataset.target_ids():
        findings += _check_target(dataset, root, target_id)
    return findings


def _check_shard(dataset: Dataset, root: Path, shard: int, totals: Counter[str]) -> list[Finding]:
    where = f"receipts/{shard:06d}.json"
    try:
        receipt = read_receipt(root, shard)
    except MaskloomError as error:
        return [Finding(where=where, what=str(error))]
    if bytes_digest(receipt.to_json()) != dataset.receipt_digest(shard):
        return [Finding(where=where, what="is not the receipt that the dataset was sealed with")]
    findings = [_damaged(record) for record in receipt.files.values() if not _matches(root, record)]
    totals["samples"] += receipt.samples
    totals.update({f"rejected as {reason}": count for reason, count in receipt.rejects.items()})
    totals.update({f"samples with {field}": count for field, count in receipt.field_samples.items()})
    totals.update({f"samples in {receipt.split}": receipt.samples} if receipt.split else {})
    totals.update({f"bytes of {field}": count for field, count in receipt.field_bytes.items()})
    if not findings:
        findings += list(_check_contents(root, receipt))
    return findings


def _check_contents(root: Path, receipt: Receipt) -> Iterator[Finding]:
    """Compare the index with the tar it describes: members, order, and digests."""
    tar = receipt.files["tar"].path
    try:
        members = {item.offset: item for item in iterate_members(root / tar) if isinstance(item, TarMember)}
    except MaskloomError as error:
        yield Finding(where=tar, what=str(error))
        return
    rows = list(ArrowTable(root / receipt.files["index"].path).rows())
    rejected = sum(1 for _ in ArrowTable(root / receipt.files["rejects"].path).rows())
    if len(rows) != receipt.samples or rejected != sum(receipt.rejects.values()):
        yield Finding(where=tar, what=f"{len(rows)} rows and {rejected} rejects, the receipt says otherwise")
    for key, count in Counter(row["key"] for row in rows).items():
        if count > 1:
            yield Finding(where=f"{tar} {key}", what=f"the key occurs {count} times")
    descriptor = os.open(root / tar, os.O_RDONLY)
    try:
        for row in rows:
            yield from _check_row(tar, descriptor, row, members)
    finally:
        os.close(descriptor)


def _check_row(tar: str, descriptor: int, row: dict[str, Any], members: dict[int, TarMember]) -> Iterator[Finding]:
    for column in [name for name in row if name.endswith(".offset")]:
        field = column.removesuffix(".offset")
        offset, size = row[column], row[f"{field}.size"]
        if size < 0:
            continue
        starts, sizes = row.get(f"{field}.starts", [0]), row.get(f"{field}.sizes", [size])
        state = xxhash.xxh3_64()
        for start, length in zip(starts, sizes, strict=True):
            if not _is_member_of(members.get(offset + start), row["key"], length):
                yield Finding(where=f"{tar} {row['key']}", what=f"field '{field}' does not stand where the index says")
                break
            state.update(os.pread(descriptor, length, offset + start))
        else:
            if state.intdigest() != row[f"{field}.xxh3"] or starts[-1] + sizes[-1] != size:
                yield Finding(where=f"{tar} {row['key']}", what=f"field '{field}' is not what was stored")


def _is_member_of(member: TarMember | None, key: str, size: int) -> bool:
    return member is not None and member.size == size and split_member_name(member.name)[0] == key


def _check_conservation(dataset: Dataset, totals: Counter[str]) -> list[Finding]:
    manifest, where = dataset.manifest, "dataset.json"
    recorded = Counter({"samples": manifest.num_samples})
    recorded.update({f"rejected as {reason}": count for reason, count in manifest.rejects.items()})
    recorded.update({f"samples with {field}": summary.samples for field, summary in manifest.fields.items()})
    recorded.update({f"samples in {split}": summary.samples for split, summary in manifest.splits.items()})
    recorded.update({f"bytes of {field}": summary.bytes for field, summary in manifest.fields.items()})
    findings = [
        Finding(where=where, what=f"{name}: {recorded[name]}, but the receipts add up to {totals[name]}")
        for name in sorted(set(recorded) | set(totals))
        if recorded[name] != totals[name]
    ]
    if manifest.num_samples + manifest.num_rejects != manifest.num_items:
        findings.append(Finding(where=where, what=f"stored and rejected do not add up to {manifest.num_items} items"))
    return findings


def _check_target(dataset: Dataset, root: Path, target_id: str) -> list[Finding]:
    folder = root / TARGETS / target_id
    try:
        sealed = read_sealed(root, target_id)
    except MaskloomError as error:
        return [Finding(where=f"targets/{target_id}", what=str(error))]
    table = dataset.target(target_id)
    findings, receipts = _check_projection(table, where=f"targets/{target_id}"), []
    for shard in range(dataset.manifest.num_shards):
        where = f"targets/{target_id} shard {shard}"
        try:
            receipt = read_target_receipt(folder, shard)
            receipts.append(receipt.to_json())
            require_bound(dataset, receipt)
            if not _matches(folder, receipt.file):
                findings.append(_damaged(receipt.file))
            elif table.keys(shard) != _base_keys(dataset, shard):
                findings.append(Finding(where=where, what="its rows are not in the order of the base shard"))
        except MaskloomError as error:
            findings.append(Finding(where=where, what=str(error)))
    if not findings and bytes_digest(b"".join(receipts)) != sealed.receipts_digest:
        findings.append(Finding(where=f"targets/{target_id}", what="the receipts have changed since it was sealed"))
    return findings


def _check_projection(table: TargetTable, *, where: str) -> list[Finding]:
    try:
        _ = table.projection
    except MaskloomError as error:
        return [Finding(where=where, what=str(error))]
    return []


def _base_keys(dataset: Dataset, shard: int) -> list[str]:
    blocks = -(-dataset.shard_samples(shard) // BLOCK)
    return [key for block in range(blocks) for key in dataset.reader(shard).facts(block, "key")]


def _matches(root: Path, record: FileRecord) -> bool:
    path = root / record.path
    if not path.is_file() or path.stat().st_size != record.bytes:
        return False
    return file_digest(path, record.digest.partition(":")[0]) == record.digest


def _damaged(record: FileRecord) -> Finding:
    return Finding(where=record.path, what=f"missing, or not the {record.bytes} bytes with digest {record.digest}")
