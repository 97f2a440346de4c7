"""What a survey found out about the raw content of a listing, and what follows: clips, duplicates, splits. All pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import xxhash

from ingest.items import Part, RawItem
from ingest.near_duplicates import near_duplicates
from ingest.settings import IngestSettings, SplitBy, VideoSettings
from ingest.video.clips import cut
from shards.errors import SettingsError
from shards.schema import RejectReason

TRAIN = "train"
_RESOLUTION = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is known of the raw content of one item.

    Args:
        digest: Hash of all its media, whatever is said about them; of its captions if it has no media.
        seconds: Length of its video, if it has one.
        phash: Perceptual hash of its first picture, if it has one.
        problem: Why the content cannot be read, if it cannot.
    """

    digest: bytes
    seconds: float | None = None
    phash: int | None = None
    problem: tuple[RejectReason, str] | None = None


Contents = Mapping[str, Content]
"""The content of every surveyed item, by the identity of the item."""


def cut_clips(listing: Iterable[RawItem], contents: Contents, settings: VideoSettings) -> Iterator[RawItem]:
    """Yield one item for every clip of a video that has to be cut, and every other item as it is.

    The clips of a video are a group, in their order, unless the source names another group; what is said about a video is
    said about each of its clips.
    """
    for item in listing:
        content = contents.get(item.identity)
        video = next((part for part in item.parts if part.kind == "video" and part.start_s is None), None)
        if video is None or content is None or content.seconds is None or settings.clip_seconds is None:
            yield item
            continue
        pieces = cut(content.seconds, clip_seconds=settings.clip_seconds, clip_stride=settings.clip_stride)
        for place, (start_s, end_s) in enumerate(pieces):
            yield replace(
                item,
                identity=f"{item.identity}@{start_s:.3f}-{end_s:.3f}",
                parts=tuple(_piece(part, start_s, end_s) for part in item.parts),
                near=item.near or item.identity,
                group=item.group or item.identity,
                place=place,
            )


def _piece(part: Part, start_s: float, end_s: float) -> Part:
    return replace(part, start_s=start_s, end_s=end_s) if part.kind in ("video", "audio") else part


def without_unreadable(listing: Iterable[RawItem], contents: Contents) -> Iterator[RawItem]:
    """Mark the items whose content the survey could not read."""
    for item in listing:
        content = contents.get(item.identity)
        unreadable = item.problem is None and content is not None and content.problem is not None
        yield replace(item, problem=content.problem) if unreadable and content else item


def without_duplicates(listing: Iterable[RawItem], contents: Contents) -> Iterator[RawItem]:
    """Mark every item whose raw media occurred before in the listing, cut at the same times."""
    first: dict[tuple[object, ...], str] = {}
    for item in listing:
        content = contents.get(item.identity)
        if content is None or item.problem is not None or content.problem is not None:
            yield item
            continue
        seen = content.digest, *((part.field, part.start_s, part.end_s) for part in item.parts)
        earlier = first.setdefault(seen, item.identity)
        if earlier == item.identity:
            yield item
        else:
            yield replace(item, problem=(RejectReason.DUPLICATE, f"the same bytes as '{earlier}', which is kept"))


def without_near_duplicates(listing: Iterable[RawItem], contents: Contents, *, bits: int) -> Iterator[RawItem]:
    """Mark every item whose picture looks like that of an earlier one that is kept."""
    items = list(listing)
    hashes = {
        item.identity: content.phash
        for item in items
        if item.problem is None and (content := contents.get(item.identity)) is not None and content.phash is not None
    }
    copies = near_duplicates(list(hashes), list(hashes.values()), bits=bits)
    for item in items:
        kept = copies.get(item.identity)
        if kept is None:
            yield item
        else:
            detail = f"looks like '{kept}', which is kept: at most {bits} of 64 bits of their hashes differ"
            yield replace(item, problem=(RejectReason.NEAR_DUPLICATE, detail))


def with_splits(listing: Iterable[RawItem], contents: Contents, settings: IngestSettings) -> Iterator[RawItem]:
    """Name the split of every item.

    The split is drawn by a hash of what must stay together: the raw content, or the group (an item without one is a group
    of its own). It depends on nothing else, so it stays when items are added to the source.

    Raises:
        SettingsError: The source names splits itself.
    """
    for item in listing:
        if item.split:
            raise SettingsError(
                f"--split: the source names the split of '{item.identity}' itself, '{item.split}'. Leave out --split, or the "
                "column that names splits."
            )
        together = (item.group or item.identity).encode("utf-8", "surrogateescape")
        if settings.splits.by is SplitBy.CONTENT and item.identity in contents:
            together = contents[item.identity].digest
        yield replace(item, split=_draw_split(together, settings))


def _draw_split(together: bytes, settings: IngestSettings) -> str:
    draw = xxhash.xxh3_64_intdigest(together, seed=settings.seed) % _RESOLUTION / _RESOLUTION
    for name, share in settings.splits.shares:
        if draw < share:
            return name
        draw -= share
    return TRAIN


def settle(listing: Iterable[RawItem], contents: Contents, settings: IngestSettings) -> Iterator[RawItem]:
    """Apply to a listing everything that follows from its content: refusals, duplicates, splits, clips, in this order."""
    items: Iterable[RawItem] = without_unreadable(listing, contents)
    if settings.filters.duplicates:
        items = without_duplicates(items, contents)
    if settings.filters.near_duplicates is not None:
        items = without_near_duplicates(items, contents, bits=settings.filters.near_duplicates)
    if settings.splits.shares:
        items = with_splits(items, contents, settings)
    return cut_clips(_all_in_a_split(list(items)), contents, settings.video)


def _all_in_a_split(items: list[RawItem]) -> list[RawItem]:
    """Put what the source names no split for into `train`, if it names one for anything."""
    if not any(item.split for item in items):
        return items
    return [item if item.split else replace(item, split=TRAIN) for item in items]


def combined_digest(digests: Mapping[str, bytes]) -> bytes:
    """Return one digest of the digests of several parts, by field."""
    return hashlib.sha256(b"".join(name.encode() + digests[name] for name in sorted(digests))).digest()
