"""The one exception by which anything in ingest refuses a single item."""

from __future__ import annotations

from shards.schema import RejectReason


class Rejection(Exception):  # noqa: N818 - not an error: the item is refused, counted and recorded, the shard goes on
    """An item is not stored, for a reason from the closed list."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
