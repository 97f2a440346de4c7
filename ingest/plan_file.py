"""The plan on disk: written once by the command, read a shard at a time by the tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.items import Part, RawItem
from ingest.plan import Plan, PlannedItem, listing_digest
from ingest.settings import IngestSettings
from shards.errors import PlanMismatchError
from shards.index import ArrowTable
from shards.schema import RejectReason
from shards.storage import create_if_absent

PLAN = "plan.arrow"

_PART = pa.struct(
    [
        ("field", pa.string()),
        ("uri", pa.binary()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("inline", pa.binary()),
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
        ("problem_reason", pa.string()),
        ("problem_detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHeader:
    """What a shard task needs besides its items: identity, settings and declared fields."""

    plan_id: str
    settings: IngestSettings
    fields: tuple[str, ...]


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
    metadata = _metadata(ArrowTable(dataset / PLAN))
    if metadata["plan_id"] != plan.plan_id:
        raise PlanMismatchError(_explain(dataset, metadata, plan))


def _serialise(plan: Plan) -> bytes:
    metadata = {
        "plan_id": plan.plan_id,
        "settings": json.dumps(plan.settings.to_json(), sort_keys=True),
        "software": json.dumps(dict(plan.software), sort_keys=True),
        "fields": json.dumps(plan.fields),
        "listing": listing_digest(plan),
        "items": str(len(plan.items)),
    }
    schema = _SCHEMA.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for shard in range(plan.num_shards):
            start = shard * plan.settings.shard_size
            rows = [_row(planned) for planned in plan.items[start : start + plan.settings.shard_size]]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return bytes(sink.getvalue())


def _row(planned: PlannedItem) -> dict[str, Any]:
    item = planned.item
    return {
        "key": item.key,
        "shard": planned.shard,
        "identity": item.identity.encode("utf-8", "surrogateescape"),
        "parts": [
            {name: getattr(part, name) for name in Part.__slots__}
            | {"uri": part.uri.encode("utf-8", "surrogateescape")}
            for part in item.parts
        ],
        "label": planned.label,
        "label_name": item.label,
        "licence": item.licence,
        "columns": json.dumps(dict(item.columns), sort_keys=True, default=str) if item.columns else None,
        "problem_reason": None if item.problem is None else item.problem[0].value,
        "problem_detail": None if item.problem is None else item.problem[1].encode("utf-8", "replace").decode(),
    }


def read_plan_header(dataset: Path) -> PlanHeader:
    """Read what all shards of a plan share."""
    metadata = _metadata(ArrowTable(dataset / PLAN))
    return PlanHeader(
        plan_id=metadata["plan_id"],
        settings=IngestSettings.from_json(json.loads(metadata["settings"])),
        fields=tuple(json.loads(metadata["fields"])),
    )


def read_planned_items(dataset: Path, shard: int) -> Iterator[PlannedItem]:
    """Yield the items of one shard in order."""
    for row in ArrowTable(dataset / PLAN).block(shard).to_pylist():
        reason = row["problem_reason"]
        yield PlannedItem(
            item=RawItem(
                identity=row["identity"].decode("utf-8", "surrogateescape"),
                parts=tuple(
                    Part(**{**part, "uri": part["uri"].decode("utf-8", "surrogateescape")}) for part in row["parts"]
                ),
                label=row["label_name"],
                licence=row["licence"],
                columns=json.loads(row["columns"]) if row["columns"] else {},
                problem=None if reason is None else (RejectReason(reason), row["problem_detail"]),
            ),
            shard=row["shard"],
            label=row["label"],
        )


def _metadata(table: ArrowTable) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}


def _explain(dataset: Path, stored: dict[str, str], plan: Plan) -> str:
    changes = []
    before, now = json.loads(stored["settings"]), json.loads(json.dumps(plan.settings.to_json()))
    changes += [f"{name}: {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
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
