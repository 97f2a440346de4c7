"""One task of a survey: what the plan has to know about the content of some items. All a worker runs of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingest.contents import Content, combined_digest
from ingest.declared import CAPTION_KINDS
from ingest.images import look_at
from ingest.items import Part, RawItem
from ingest.plan_file import read_metadata, read_planned_items
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits
from ingest.survey import commit_chunk, listing_path
from ingest.video.header import probe_video


class SurveyJob:
    """Task number `chunk` of the survey in `dataset`, of files below `source_root`; see ShardJob for the errors."""

    def __init__(self, dataset: Path, chunk: int, source_root: Path) -> None:
        path = listing_path(dataset)
        self._dataset = dataset
        self._chunk = chunk
        self._settings = IngestSettings.from_json(json.loads(read_metadata(path)["settings"]))
        self._planned = list(read_planned_items(path, chunk))
        self._raw = RawBytes(source_root, self._planned, self._settings.limits, self._settings.fetch)

    def __len__(self) -> int:
        return len(self._planned)

    @property
    def limits(self) -> Limits:
        """What an item may cost."""
        return self._settings.limits

    def encode(self, place: int) -> Content:
        """Look at the item in row `place`.

        Raises:
            Rejection: Its content cannot be read.
        """
        return survey_item(self._planned[place].item, self._raw, self._settings)

    def write(self, outcomes: Iterator[Content | Rejection]) -> int:
        """Write what was found out about all items, unless another worker came first, and return how many they are."""
        contents = [_content(outcome) for outcome in outcomes]
        commit_chunk(self._dataset, self._chunk, [planned.item for planned in self._planned], contents)
        return len(contents)


def _content(outcome: Content | Rejection) -> Content:
    if isinstance(outcome, Rejection):
        return Content(digest=b"", problem=(outcome.reason, outcome.detail))
    return outcome


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
