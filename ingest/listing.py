"""What every listing goes through before anything is decided: items that no file could name are refused, doubles marked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ingest.items import Part, RawItem
from shards.schema import RejectReason
from shards.storage import printable

Problem = tuple[RejectReason, str]
_MOST = 2**63 - 1


def checked(listing: Iterable[RawItem]) -> Iterator[RawItem]:
    """Yield every item once, those that cannot be written down or have been seen before with their problem."""
    seen: set[str] = set()
    for item in map(_writable, listing):
        if item.key in seen:
            detail = f"'{printable(item.identity)}' occurs more than once in the source; the first is kept"
            yield replace(item, parts=(), problem=(RejectReason.DUPLICATE_MEMBER, detail))
        else:
            seen.add(item.key)
            yield item


def _writable(item: RawItem) -> RawItem:
    """Return an item as it is, or bare and with a problem if a plan or a manifest could not hold it."""
    problem = _problem(item)
    if problem is None:
        return item
    return RawItem(
        identity=_name(item.identity),
        parts=(),
        near=_name(item.near),
        group=_name(item.group),
        problem=item.problem or problem,
    )


def _name(name: str) -> str:
    """Return a name as it is if it can be one of a file, else as text that can be shown."""
    return name if _is_name(name) else printable(name)


def _problem(item: RawItem) -> Problem | None:
    where = printable(item.identity)
    if item.label is not None and not _is_utf8(item.label):
        return RejectReason.INVALID_LABEL, f"the label of '{where}' is not UTF-8"
    if item.licence is not None and not _is_utf8(item.licence):
        return RejectReason.BAD_TEXT_ENCODING, f"the licence of '{where}' is not UTF-8"
    if not all(map(_is_name, (item.identity, item.near, item.group))):
        return RejectReason.BAD_TEXT_ENCODING, f"a name or group of '{where}' is no text"
    if not -_MOST <= item.place <= _MOST or not all(map(_has_sane_numbers, item.parts)):
        return RejectReason.UNREADABLE_FILE, f"'{where}' has sizes or places beyond what a file can have"
    try:
        json.dumps(dict(item.columns), default=str)
    except (RecursionError, ValueError) as error:
        return RejectReason.BAD_TEXT_ENCODING, f"the metadata of '{where}' cannot be written as JSON: {error}"
    return None


def _is_utf8(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def _is_name(name: str) -> bool:
    """Tell whether text can be a file's name: UTF-8, or the bytes that Python keeps of a name that is not."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _has_sane_numbers(part: Part) -> bool:
    whole = (part.offset, part.size, part.modified_ns, part.row)
    times = [time for time in (part.start_s, part.end_s) if time is not None]
    names = (part.uri, part.member)
    return (
        all(-_MOST <= number <= _MOST for number in whole)
        and all(map(math.isfinite, times))
        and all(map(_is_name, names))
    )
