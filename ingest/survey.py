"""The survey: one pass over the raw content before the plan, where the plan has to know it (clips, duplicates, splits)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from ingest.contents import Content, Contents, combined_digest
from ingest.declared import CAPTION_KINDS
from ingest.images import look_at
from ingest.items import Part, RawItem
from ingest.plan import PlannedItem
from ingest.plan_file import read_metadata, read_planned_items, serialise_items
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, SplitBy
from ingest.video import probe_video
from shards.errors import PlanMismatchError
from shards.index import ArrowTable
from shards.schema import ABSENT, RejectReason
from shards.storage import bytes_digest, create_if_absent

SURVEY = "survey"
CHUNK = 256
"""Items of one survey task."""

_LISTING = f"{SURVEY}/listing.arrow"
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
    metadata = {"settings": json.dumps(settings.to_json(), sort_keys=True), "listing": _digest(listing)}
    path = dataset / _LISTING
    if not create_if_absent(dataset, path, serialise_items(chunks, metadata)) and read_metadata(path) != metadata:
        raise PlanMismatchError(
            f"{dataset} was begun with another source or other settings. Ingest into a new folder, or repeat the original "
            "command."
        )
    return len(chunks)


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


def _chunk_path(dataset: Path, chunk: int) -> Path:
    return dataset / SURVEY / f"{chunk:06d}.arrow"


class SurveyJob:
    """Task number `chunk` of the survey in `dataset`, of files below `source_root`; see ShardJob for the errors."""

    def __init__(self, dataset: Path, chunk: int, source_root: Path) -> None:
        path = dataset / _LISTING
        self._dataset = dataset
        self._chunk = chunk
        self._settings = IngestSettings.from_json(json.loads(read_metadata(path)["settings"]))
        self._planned = list(read_planned_items(path, chunk))
        self._raw = RawBytes(source_root, self._planned, self._settings.limits)

    def __len__(self) -> int:
        return len(self._planned)

    def encode(self, place: int) -> Content:
        """Look at the item in row `place`.

        Raises:
            Rejection: Its content cannot be read.
        """
        return survey_item(self._planned[place].item, self._raw, self._settings)

    def write(self, outcomes: Iterator[Content | Rejection]) -> int:
        """Write what was found out about all items, unless another worker came first, and return how many they are."""
        rows = [_row(planned.item, outcome) for planned, outcome in zip(self._planned, outcomes, strict=True)]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
        create_if_absent(self._dataset, _chunk_path(self._dataset, self._chunk), bytes(sink.getvalue()))
        return len(rows)


def _row(item: RawItem, outcome: Content | Rejection) -> dict[str, object]:
    content = (
        Content(digest=b"", problem=(outcome.reason, outcome.detail)) if isinstance(outcome, Rejection) else outcome
    )
    return {
        "identity": item.identity.encode("utf-8", "surrogateescape"),
        "digest": content.digest,
        "seconds": content.seconds,
        "phash": content.phash,
        "problem_reason": None if content.problem is None else content.problem[0].value,
        "problem_detail": None if content.problem is None else content.problem[1].encode("utf-8", "replace").decode(),
    }


def survey_item(item: RawItem, raw: RawBytes, settings: IngestSettings) -> Content:
    """Return what the plan has to know about the content of an item.

    Raises:
        Rejection: It cannot be read.
    """
    media = [part for part in item.parts if part.kind not in CAPTION_KINDS] or list(item.parts)
    digests = {part.field: raw.raw(part).sha256() for part in media}
    video = next((part for part in media if part.kind == "video" and part.start_s is None), None)
    is_cut = settings.video.clip_seconds is not None
    return Content(
        digest=combined_digest(digests),
        seconds=probe_video(raw.raw(video), settings.limits).seconds if video is not None and is_cut else None,
        phash=_phash(media, raw, settings) if settings.filters.near_duplicates is not None else None,
    )


def _phash(media: Sequence[Part], raw: RawBytes, settings: IngestSettings) -> int | None:
    picture = next((part for part in media if part.kind == "image"), None)
    return None if picture is None else look_at(raw.raw(picture).read(), settings)
