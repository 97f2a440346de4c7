"""The sealed manifest: what a finished dataset is, folded from the receipts of all its shards."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shards.errors import CorruptShardError, Damage, DatasetError, MissingDatasetError
from shards.location import RemoteRoot, Root, store_of
from shards.receipt import FileRecord, Receipt, committed_shards, read_receipt
from shards.schema import BLOCK, SCHEMA_VERSION, Fields
from shards.storage import (
    bytes_digest,
    canonical_json,
    file_digest,
    publish,
    replace_file,
    short_digest,
    storage_errors,
    sync,
    temporary_path,
)

MANIFEST = "dataset.json"

SHARDS_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("samples", pa.int64()),
        ("first_block", pa.int64()),
        ("first_tail", pa.int64()),
        ("tar", pa.string()),
        ("index", pa.string()),
        ("tar_digest", pa.string()),
        ("receipt_digest", pa.string()),
    ]
)
"""Columns of the shard table: `first_block` full blocks and `first_tail` tail samples stand in the shards before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSummary:
    """The kind of a field, how many samples hold it, and how many bytes they take."""

    kind: str
    samples: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """How many samples a split has, and how many of them hold each field."""

    samples: int
    fields: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A sealed dataset: identity, counts by field and by reason of rejection, and the table of its shards."""

    schema_version: int
    plan_id: str
    source: str
    settings: Mapping[str, Any]
    software: Mapping[str, str]
    fields: Mapping[str, FieldSummary]
    splits: Mapping[str, SplitSummary]
    classes: tuple[str, ...] | None
    num_items: int
    num_samples: int
    num_shards: int
    rejects: Mapping[str, int]
    licences: Mapping[str, int]
    ignored: Mapping[str, int]
    shards: FileRecord

    @property
    def kinds(self) -> Fields:
        """The kinds of the fields that some sample holds."""
        return {name: summary.kind for name, summary in self.fields.items()}

    @property
    def num_rejects(self) -> int:
        """Items that were refused, over all reasons."""
        return sum(self.rejects.values())

    def to_json(self) -> bytes:
        """Serialise the manifest; equal datasets give equal bytes."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest back."""
        content = json.loads(data)
        content["fields"] = {name: FieldSummary(**summary) for name, summary in content["fields"].items()}
        content["splits"] = {name: SplitSummary(**summary) for name, summary in content["splits"].items()}
        content["classes"] = None if content["classes"] is None else tuple(content["classes"])
        content["shards"] = FileRecord.from_json(content["shards"])
        return cls(**content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a dataset is made from: everything in its manifest that is known before the first shard is written."""

    plan_id: str
    source: str
    settings: Mapping[str, Any]
    software: Mapping[str, str]
    fields: Fields
    classes: tuple[str, ...] | None
    num_items: int
    num_shards: int
    ignored: Mapping[str, int]


def load_manifest(root: Root) -> Manifest:
    """Read the sealed manifest of a dataset.

    Raises:
        MissingDatasetError: There is none; the message says whether an ingest is unfinished or the folder is foreign.
        DatasetError: It was written by another version, or cannot be understood.
        CorruptShardError: It cannot be had.
    """
    return parse_manifest(root, read_manifest(root))


def read_manifest(root: Root) -> bytes:
    """Return the bytes of a sealed manifest, whose digest is the identity of the dataset.

    Raises:
        MissingDatasetError: There is none.
        CorruptShardError: It cannot be had.
    """
    try:
        return store_of(root).read(MANIFEST)
    except CorruptShardError as error:
        if error.kind == Damage.MISSING:
            raise MissingDatasetError(_why_missing(root)) from None
        raise


def parse_manifest(root: Root, data: bytes) -> Manifest:
    """Understand the bytes of a sealed manifest.

    Raises:
        DatasetError: It was written by another version, or cannot be understood.
    """
    path = f"{root}/{MANIFEST}"
    try:
        version = json.loads(data)["schema_version"]
        if version == SCHEMA_VERSION:
            return Manifest.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} cannot be understood as a maskloom manifest: {error}.") from error
    raise DatasetError(
        f"{path} has schema version {version}; this maskloom reads {SCHEMA_VERSION}. Use the maskloom that wrote it."
    )


def _why_missing(root: Root) -> str:
    if isinstance(root, RemoteRoot):
        return f"{root} holds no dataset: there is no {MANIFEST}. Check the address; a split stands behind a colon."
    if not root.exists():
        return f"There is no folder {root}. Make a dataset with `maskloom ingest SOURCE {root}`."
    if (root / "plan.arrow").exists():
        return f"The dataset {root} is not finished: run the same `maskloom ingest` command again to complete it."
    if any(root.glob("*.tar")):
        return f"{root} holds tars but no manifest. Adopt them with `maskloom index {root}`."
    return f"{root} holds no dataset (no {MANIFEST}). Make one with `maskloom ingest SOURCE {root}`."


def seal(root: Path, origin: Origin) -> Manifest:
    """Fold all receipts into the shard table and the manifest, check conservation, and write both in one step each.

    Running it again gives the same bytes, so an interrupted seal is simply repeated.

    Raises:
        DatasetError: A receipt is missing or belongs to another plan, or stored and rejected do not add up to the items.
    """
    receipts = [read_receipt(root, shard) for shard in range(origin.num_shards)]
    _check_receipts(root, origin, receipts)
    totals = _totals(receipts)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        plan_id=origin.plan_id,
        source=origin.source,
        settings=origin.settings,
        software=origin.software,
        classes=origin.classes,
        num_items=origin.num_items,
        num_shards=origin.num_shards,
        ignored=dict(sorted((Counter(origin.ignored) + totals["ignored"]).items())),
        fields={
            name: FieldSummary(kind=kind, samples=totals["samples"][name], bytes=totals["bytes"][name])
            for name, kind in origin.fields.items()
            if totals["samples"][name]
        },
        splits=_splits(receipts),
        num_samples=sum(receipt.samples for receipt in receipts),
        rejects=dict(sorted(totals["rejects"].items())),
        licences=dict(sorted(totals["licences"].items())),
        shards=_write_shard_table(root, receipts),
    )
    replace_file(root, root / MANIFEST, manifest.to_json())
    return manifest


def _check_receipts(root: Path, origin: Origin, receipts: list[Receipt]) -> None:
    foreign = [receipt.shard for receipt in receipts if receipt.plan_id != origin.plan_id]
    if foreign:
        raise DatasetError(
            f"{root}: the receipts of shards {foreign[:8]} belong to another plan. Ingest into a new folder."
        )
    surplus = sorted(committed_shards(root) - set(range(origin.num_shards)))
    if surplus:
        raise DatasetError(
            f"{root} holds receipts of shards {surplus[:8]} that are not planned. Ingest into a new folder."
        )
    stored = sum(receipt.samples for receipt in receipts)
    rejected = sum(sum(receipt.rejects.values()) for receipt in receipts)
    if stored + rejected != origin.num_items:
        raise DatasetError(
            f"{root}: {origin.num_items} items were listed, but {stored} stored and {rejected} rejected. "
            "This is a defect in maskloom: keep the folder and report it."
        )


def _totals(receipts: Iterable[Receipt]) -> dict[str, Counter[str]]:
    totals = {name: Counter[str]() for name in ("samples", "bytes", "rejects", "licences", "ignored")}
    for receipt in receipts:
        totals["samples"].update(receipt.field_samples)
        totals["bytes"].update(receipt.field_bytes)
        totals["rejects"].update(receipt.rejects)
        totals["licences"].update(receipt.licences)
        totals["ignored"].update(receipt.ignored_members)
    return totals


def _splits(receipts: Iterable[Receipt]) -> dict[str, SplitSummary]:
    samples, fields = Counter[str](), defaultdict[str, Counter[str]](Counter)
    for receipt in receipts:
        if receipt.split:
            samples[receipt.split] += receipt.samples
            fields[receipt.split].update(receipt.field_samples)
    return {
        name: SplitSummary(samples=count, fields=dict(sorted((+fields[name]).items())))
        for name, count in sorted(samples.items())
    }


def _write_shard_table(root: Path, receipts: list[Receipt]) -> FileRecord:
    columns: dict[str, list[Any]] = {name: [] for name in SHARDS_SCHEMA.names}
    first_block = first_tail = 0
    for receipt in receipts:
        row = (
            receipt.split,
            receipt.samples,
            first_block,
            first_tail,
            receipt.files["tar"].path,
            receipt.files["index"].path,
            receipt.files["tar"].digest,
            bytes_digest(receipt.to_json()),
        )
        for name, value in zip(SHARDS_SCHEMA.names, row, strict=True):
            columns[name].append(value)
        first_block += receipt.samples // BLOCK
        first_tail += receipt.samples % BLOCK
    temporary = temporary_path(root, "shards.arrow")
    with storage_errors(temporary):
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SHARDS_SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=SHARDS_SCHEMA))
        sync(temporary)
    digest, size = file_digest(temporary, "sha256"), temporary.stat().st_size
    final = f"shards-{short_digest(digest)}.arrow"
    publish(temporary, root / final)
    return FileRecord(path=final, bytes=size, digest=digest)
