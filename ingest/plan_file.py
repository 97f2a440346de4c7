"""The plan on disk: written once by the command, read a shard at a time by the tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.items import Part, RawItem
from ingest.plan import Plan, PlannedItem, listing_digest
from ingest.settings import IngestSettings
from shards.errors import PlanMismatchError
from shards.index import ArrowTable
from shards.schema import Fields, RejectReason
from shards.storage import create_if_absent

PLAN = "plan.arrow"

_PART = pa.struct(
    [
        ("field", pa.string()),
        ("kind", pa.string()),
        ("uri", pa.binary()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("member", pa.binary()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("inline", pa.binary()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.int32()),
        ("identity", pa.binary()),
        ("parts", pa.list_(_PART)),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("licence", pa.string()),
        ("columns", pa.string()),
        ("group", pa.binary()),
        ("place", pa.int64()),
        ("problem_reason", pa.string()),
        ("problem_detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHeader:
    """What a shard task needs besides its items: identity, settings, declared fields, and the splits of the shards."""

    plan_id: str
    settings: IngestSettings
    fields: Fields
    splits: tuple[str, ...]


def commit_plan(dataset: Path, plan: Plan) -> None:
    """Write the plan unless it is there; one shard is one record batch.

    Raises:
        PlanMismatchError: The folder holds another plan; the message says what differs.
        StorageError: The folder cannot be written.
    """
    if not create_if_absent(dataset, dataset / PLAN, _serialise(plan)):
        require_same_plan(dataset, plan)


def require_same_plan(dataset: Path, plan: Plan) -> None:
    """Check that the plan in the folder is this one.

    Raises:
        PlanMismatchError: It is another; the message says what differs.
    """
    metadata = read_metadata(dataset / PLAN)
    if metadata["plan_id"] != plan.plan_id:
        raise PlanMismatchError(_explain(dataset, metadata, plan))


def _serialise(plan: Plan) -> bytes:
    metadata = {
        "plan_id": plan.plan_id,
        "settings": json.dumps(plan.settings.to_json(), sort_keys=True),
        "software": json.dumps(dict(plan.software), sort_keys=True),
        "fields": json.dumps(list(plan.fields.items())),
        "splits": json.dumps(plan.splits),
        "listing": listing_digest(plan),
        "items": str(len(plan.items)),
    }
    return serialise_items(plan.shards(), metadata)


def serialise_items(batches: Iterable[Sequence[PlannedItem]], metadata: Mapping[str, str]) -> bytes:
    """Return an Arrow file with one record batch for each of `batches`, to be read back by `read_planned_items`."""
    schema = _SCHEMA.with_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_pylist([_row(planned) for planned in batch], schema=schema))
    return bytes(sink.getvalue())


def _row(planned: PlannedItem) -> dict[str, Any]:
    item = planned.item
    return {
        "key": item.key,
        "shard": planned.shard,
        "identity": _to_bytes(item.identity),
        "parts": [
            {name: getattr(part, name) for name in Part.__slots__}
            | {"uri": _to_bytes(part.uri), "member": _to_bytes(part.member)}
            for part in item.parts
        ],
        "label": planned.label,
        "label_name": item.label,
        "licence": item.licence,
        "columns": json.dumps(dict(item.columns), sort_keys=True, default=str) if item.columns else None,
        "group": _to_bytes(item.group),
        "place": item.place,
        "problem_reason": None if item.problem is None else item.problem[0].value,
        "problem_detail": None if item.problem is None else item.problem[1].encode("utf-8", "replace").decode(),
    }


def _to_bytes(name: str) -> bytes:
    """Names of files need not be UTF-8: they are kept as the bytes they are."""
    return name.encode("utf-8", "surrogateescape")


def _to_text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def read_plan_header(dataset: Path) -> PlanHeader:
    """Read what all shards of a plan share."""
    metadata = read_metadata(dataset / PLAN)
    return PlanHeader(
        plan_id=metadata["plan_id"],
        settings=IngestSettings.from_json(json.loads(metadata["settings"])),
        fields=dict(json.loads(metadata["fields"])),
        splits=tuple(json.loads(metadata["splits"])),
    )


def read_planned_items(path: Path, batch: int) -> Iterator[PlannedItem]:
    """Yield the items of one shard of a plan, or of one batch of a file that `serialise_items` made, in order."""
    for row in ArrowTable(path).block(batch).to_pylist():
        reason = row["problem_reason"]
        yield PlannedItem(
            item=RawItem(
                identity=_to_text(row["identity"]),
                parts=tuple(
                    Part(**{**part, "uri": _to_text(part["uri"]), "member": _to_text(part["member"])})
                    for part in row["parts"]
                ),
                label=row["label_name"],
                licence=row["licence"],
                columns=json.loads(row["columns"]) if row["columns"] else {},
                group=_to_text(row["group"]),
                place=row["place"],
                problem=None if reason is None else (RejectReason(reason), row["problem_detail"]),
            ),
            shard=row["shard"],
            label=row["label"],
        )


def read_metadata(path: Path) -> dict[str, str]:
    """Return what is said about all items of a file that `serialise_items` made."""
    return {name.decode(): value.decode() for name, value in (ArrowTable(path).schema.metadata or {}).items()}


def changed_settings(before: Mapping[str, Any], settings: IngestSettings) -> list[str]:
    """Return what differs between recorded settings and those of now, each as `name: then -> now`."""
    then, now = dict(_leaves(before)), dict(_leaves(json.loads(json.dumps(settings.to_json()))))
    return [f"{name}: {then.get(name)} -> {now.get(name)}" for name in now if then.get(name) != now[name]]


def _leaves(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _explain(dataset: Path, stored: dict[str, str], plan: Plan) -> str:
    changes = changed_settings(json.loads(stored["settings"]), plan.settings)
    software = json.loads(stored["software"])
    changes += [
        f"{name} {software.get(name)} -> {plan.software[name]}"
        for name in plan.software
        if software.get(name) != plan.software[name]
    ]
    if stored["listing"] != listing_digest(plan):
        changes.append(
            f"the source: {stored['items']} items listed then, {len(plan.items)} now, or some of them have changed"
        )
    return (
        f"{dataset} was begun with another plan ({'; '.join(changes) or 'the plan differs'}). "
        "Ingest into a new folder, or repeat the original command."
    )
