"""The raw parts of one task's items, with what is only worth finding out once for several of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ingest.items import Part
from ingest.plan import PlannedItem
from ingest.raw import Raw
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import IngestSettings


class Sources:
    """Opens the parts of a task's items, and knows the digests of files that several items are pieces of.

    Args:
        root: Folder that all URIs are relative to.
        planned: The items, in the order in which they will be asked for.
        settings: Limits, and how addresses are fetched.
    """

    def __init__(self, root: Path, planned: Sequence[PlannedItem], settings: IngestSettings) -> None:
        self._planned = planned
        self._bytes = RawBytes(root, planned, settings.limits, settings.fetch)
        self._digests: dict[Part, bytes] = {}

    def prepare(self, place: int) -> None:
        """Do for the item in row `place` what it shares with others: load windows of tables, hash the file it is cut from."""
        item = self._planned[place].item
        if item.problem is not None:
            return
        self._bytes.prepare(item.parts)
        for part in item.parts:
            if part.start_s is not None:
                with suppress(Rejection):  # it comes up again where the item is encoded
                    self.sha256(part)

    def raw(self, part: Part) -> Raw:
        """Return the raw bytes of a part; see RawBytes for the errors."""
        return self._bytes.raw(part)

    def sha256(self, part: Part) -> bytes:
        """Return the SHA-256 of the file, member or cell that a part is, or is a piece of."""
        whole = replace(part, field="", start_s=None, end_s=None)
        if whole not in self._digests:
            self._digests[whole] = self._bytes.raw(part).sha256()
        return self._digests[whole]
