"""The survey: one pass over the raw content before the plan, where the plan has to know it (clips, duplicates, splits)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from ingest.contents import Content, Contents
from ingest.declared import declare
from ingest.items import RawItem
from ingest.plan import PlannedItem
from ingest.plan_file import changed_settings, read_metadata, serialise_items
from ingest.settings import IngestSettings, SplitBy
from shards.errors import PlanMismatchError
from shards.index import ArrowTable
from shards.schema import ABSENT, RejectReason
from shards.storage import bytes_digest, create_if_absent

SURVEY = "survey"
CHUNK = 256
"""Items of one survey task."""
_SCHEMA = pa.schema(
    [
        ("identity", pa.binary()),
        ("digest", pa.binary()),
        ("seconds", pa.float64()),
        ("phash", pa.uint64()),
        ("problem_reason", pa.string()),
        ("problem_detail", pa.string()),
    ]
)


def needs_survey(listing: Iterable[RawItem], settings: IngestSettings) -> bool:
    """Tell whether the plan depends on what is in the files."""
    filters, splits = settings.filters, settings.splits
    if filters.duplicates or filters.near_duplicates is not None:
        return True
    if splits.shares and splits.by is SplitBy.CONTENT:
        return True
    has_video = any(part.kind == "video" for item in listing for part in item.parts)
    return settings.video.clip_seconds is not None and has_video


def commit_listing(dataset: Path, listing: Sequence[RawItem], settings: IngestSettings) -> int:
    """Write what is to be surveyed unless it is there, and return how many tasks that makes.

    Raises:
        PlanMismatchError: The folder holds the survey of something else.
        StorageError: The folder cannot be written.
    """
    chunks = list(_chunks(listing))
    metadata = {
        "settings": json.dumps(settings.to_json(), sort_keys=True),
        "fields": json.dumps(list(declare(listing, settings).items())),
        "listing": _digest(listing),
    }
    path = listing_path(dataset)
    if not create_if_absent(dataset, path, serialise_items(chunks, metadata)):
        _require_same(dataset, read_metadata(path), metadata, settings)
    return len(chunks)


def _require_same(
    dataset: Path, stored: Mapping[str, str], metadata: Mapping[str, str], settings: IngestSettings
) -> None:
    if stored == metadata:
        return
    changes = changed_settings(json.loads(stored["settings"]), settings)
    if stored["listing"] != metadata["listing"]:
        changes.append("the source: other items were listed then, or some of them have changed")
    raise PlanMismatchError(
        f"{dataset} was begun with another plan ({'; '.join(changes) or 'the plan differs'}). "
        "Ingest into a new folder, or repeat the original command."
    )


def _chunks(listing: Sequence[RawItem]) -> Iterator[list[PlannedItem]]:
    items = iter(listing)
    number = 0
    while chunk := list(islice(items, CHUNK)):
        yield [PlannedItem(item=item, shard=number, label=ABSENT) for item in chunk]
        number += 1


def _digest(listing: Sequence[RawItem]) -> str:
    state = hashlib.sha256()
    for item in listing:
        state.update(repr(item).encode("utf-8", "surrogateescape"))
    return bytes_digest(state.digest())


def surveyed_chunks(dataset: Path) -> set[int]:
    """Return the numbers of the tasks that are done."""
    return {int(path.stem) for path in (dataset / SURVEY).glob("*.arrow") if path.stem.isdigit()}


def num_surveyed(dataset: Path, chunk: int) -> int | None:
    """Return how many items a task has looked at, or None if it is not done."""
    path = _chunk_path(dataset, chunk)
    return sum(1 for _ in ArrowTable(path).rows()) if path.exists() else None


def read_contents(dataset: Path, num_chunks: int) -> Contents:
    """Read what a finished survey found out."""
    contents = {}
    for chunk in range(num_chunks):
        for row in ArrowTable(_chunk_path(dataset, chunk)).rows():
            reason = row["problem_reason"]
            contents[row["identity"].decode("utf-8", "surrogateescape")] = Content(
                digest=row["digest"],
                seconds=row["seconds"],
                phash=row["phash"],
                problem=None if reason is None else (RejectReason(reason), row["problem_detail"]),
            )
    return contents


def commit_chunk(dataset: Path, chunk: int, items: Sequence[RawItem], contents: Sequence[Content]) -> None:
    """Write what was found out about the items of one task, unless another worker came first."""
    rows = [_row(item, content) for item, content in zip(items, contents, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
    create_if_absent(dataset, _chunk_path(dataset, chunk), bytes(sink.getvalue()))


def _row(item: RawItem, content: Content) -> dict[str, object]:
    return {
        "identity": item.identity.encode("utf-8", "surrogateescape"),
        "digest": content.digest,
        "seconds": content.seconds,
        "phash": content.phash,
        "problem_reason": None if content.problem is None else content.problem[0].value,
        "problem_detail": None if content.problem is None else content.problem[1].encode("utf-8", "replace").decode(),
    }


def listing_path(dataset: Path) -> Path:
    """Return where the list of what is surveyed stands."""
    return dataset / SURVEY / "listing.arrow"


def _chunk_path(dataset: Path, chunk: int) -> Path:
    return dataset / SURVEY / f"{chunk:06d}.arrow"
