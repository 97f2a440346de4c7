"""What headers claim, checked before anything is allocated or decoded for it."""

from __future__ import annotations

import re

from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

_COUNT = re.compile(r"[0-9]{1,18}")


def corrupt(detail: str) -> Rejection:
    """Return the rejection of a damaged file."""
    return Rejection(RejectReason.CORRUPT_POINTS, detail)


def count_in(text: str, what: str) -> int:
    """Read a number of things out of a text header: decimal ASCII digits, nothing else.

    Raises:
        Rejection: It is no such number.
    """
    if not _COUNT.fullmatch(text):
        raise corrupt(f"the number of {what} is '{text[:40]}'")
    return int(text)


def require_points(count: int, limits: Limits, *, what: str = "points") -> None:
    """Refuse a file that claims more points, vertices or faces than the limit.

    Raises:
        Rejection: It does.
    """
    if count > limits.points:
        raise Rejection(RejectReason.TOO_MANY_POINTS, f"{count} {what}, the limit is {limits.points}")


def require_bytes(needed: int, held: int, *, what: str) -> None:
    """Refuse a file whose header promises more bytes than there are.

    Raises:
        Rejection: It is cut off, or its header is wrong.
    """
    if needed > held:
        raise corrupt(f"{what} take {needed} bytes, the file has {max(held, 0)} for them")


def require_storable(count: int, columns: int, limits: Limits) -> None:
    """Refuse a cloud that would be larger, as float32, than a raw file may be.

    Raises:
        Rejection: It would.
    """
    if 4 * count * columns > limits.points_bytes:
        detail = f"{count} points with {columns} columns take {4 * count * columns} bytes, the limit is {limits.points_bytes}"
        raise Rejection(RejectReason.TOO_MANY_BYTES, detail)
