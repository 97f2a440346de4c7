"""The one exception by which anything in ingest refuses a single item."""

from __future__ import annotations

from shards.schema import RejectReason
from shards.storage import printable


class Rejection(Exception):  # noqa: N818 - not an error: the item is refused, counted and recorded, the shard goes on
    """An item is not stored, for a reason from the closed list.

    Args:
        reason: The reason.
        detail: What was found, for people; characters that are no text, out of hostile input, become `?`.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        shown = printable(detail)
        super().__init__(f"{reason.value}: {shown}")
        self.reason = reason
        self.detail = shown
