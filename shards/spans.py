"""Which ranges of a tar are worth one request: members that stand close together, not more at once than fits memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""A range of bytes of a file: the first one, and the one behind the last."""

_MAX_GAP = 1 << 20
"""Reading this many bytes for nothing takes less time than another request."""
_MAX_BYTES = 1 << 24


def coalesce(spans: Iterable[Span]) -> list[Span]:
    """Join spans, in any order, that stand less than 1 MiB apart, into extents of at most 16 MiB, in order.

    Every span lies inside one extent; a span that is larger than 16 MiB is an extent of its own, or ends one.
    """
    extents: list[Span] = []
    for start, stop in sorted(spans):
        if extents:
            first, last = extents[-1]
            if start < last or (start - last < _MAX_GAP and stop - first <= _MAX_BYTES):
                extents[-1] = first, max(last, stop)
                continue
        extents.append((start, stop))
    return extents


def covering(extents: Sequence[Span], start: int, stop: int) -> Span:
    """Return the extent, among those of `coalesce`, that a range lies in; a range of its own where there is none."""
    place = bisect_right(extents, (start, 1 << 63)) - 1
    return extents[place] if place >= 0 and stop <= extents[place][1] else (start, stop)
