"""One task of a survey: what the plan has to know about the content of some items. All a worker runs of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingest.contents import Content, combined_digest
from ingest.declared import CAPTION_KINDS
from ingest.encode import encode_item
from ingest.items import Part, RawItem
from ingest.plan import PlannedItem
from ingest.plan_file import read_metadata, read_planned_items
from ingest.raw_sources import Sources
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits, VideoSettings
from ingest.sources.addresses import printable_uri
from ingest.survey import commit_chunk, listing_path
from ingest.unforeseen import blamed_on_file
from ingest.video.header import probe_video
from shards.schema import Fields, RejectReason

MOST_CLIPS = 100_000
"""Clips of one video: what its header claims to last, nobody has seen yet."""


class SurveyJob:
    """Task number `chunk` of the survey in `dataset`, of files below `source_root`; see ShardJob for the errors."""

    def __init__(self, dataset: Path, chunk: int, source_root: Path) -> None:
        path = listing_path(dataset)
        self._dataset = dataset
        self._chunk = chunk
        metadata = read_metadata(path)
        self._settings = IngestSettings.from_json(json.loads(metadata["settings"]))
        self._fields: Fields = dict(json.loads(metadata["fields"]))
        self._planned = list(read_planned_items(path, chunk))
        self._sources = Sources(source_root, self._planned, self._settings)

    def __len__(self) -> int:
        return len(self._planned)

    @property
    def limits(self) -> Limits:
        """What an item may cost."""
        return self._settings.limits

    def prepare(self, place: int) -> None:
        """Load what the item in row `place` shares with others, outside of its own limits."""
        self._sources.prepare(place)

    def encode(self, place: int) -> Content:
        """Look at the item in row `place`.

        Raises:
            Rejection: Its content cannot be read, or it would be refused anyway where that matters.
        """
        return survey_item(self._planned[place], self._sources, declared=self._fields, settings=self._settings)

    def write(self, outcomes: Iterator[Content | Rejection]) -> int:
        """Write what was found out about all items, unless another worker came first, and return how many they are."""
        contents = [_content(outcome) for outcome in outcomes]
        commit_chunk(self._dataset, self._chunk, [planned.item for planned in self._planned], contents)
        return len(contents)


def _content(outcome: Content | Rejection) -> Content:
    if isinstance(outcome, Rejection):
        return Content(digest=b"", problem=(outcome.reason, outcome.detail))
    return outcome


def survey_item(entry: PlannedItem, sources: Sources, *, declared: Fields, settings: IngestSettings) -> Content:
    """Return what the plan has to know about the content of an item.

    Where duplicates are refused, an item is encoded as it will be for its shard: one that is refused must not count as the
    first of its kind. A video that has yet to be cut is only looked into.

    Raises:
        Rejection: It cannot be read, or it would be refused anyway where that matters.
    """
    item, filters = entry.item, settings.filters
    media = [part for part in item.parts if part.kind not in CAPTION_KINDS] or list(item.parts)
    uncut = next((part for part in media if part.kind == "video" and part.start_s is None), None)
    if uncut is not None and settings.video.clip_seconds is not None:
        with blamed_on_file(printable_uri(uncut.uri)):
            header = probe_video(sources.raw(uncut), settings.limits)
            _require_countable(header.seconds, settings.video)
            return Content(digest=_digest(item, media, sources), seconds=header.seconds)
    if not filters.duplicates and filters.near_duplicates is None:
        return Content(digest=_digest(item, media, sources))
    encoded = encode_item(entry, sources, declared=declared, settings=settings)
    looks = (field.facts["phash"] for field in encoded.fields if field.kind == "image")
    return Content(digest=_digest(item, media, sources), phash=next(looks, None))


def _require_countable(seconds: float, video: VideoSettings) -> None:
    clips = seconds / (video.clip_stride or video.clip_seconds or seconds)
    if clips > MOST_CLIPS:
        raise Rejection(
            RejectReason.TOO_LONG, f"{seconds:g} s would make {clips:,.0f} clips; a video makes at most {MOST_CLIPS:,}"
        )


def _digest(item: RawItem, media: Sequence[Part], sources: Sources) -> bytes:
    """Return the digest of all media of an item; of its name if it has no parts."""
    if not media:
        return hashlib.sha256(item.identity.encode("utf-8", "surrogateescape")).digest()
    with blamed_on_file(printable_uri(media[0].uri) or media[0].field):
        return combined_digest({part.field: sources.sha256(part) for part in media})
