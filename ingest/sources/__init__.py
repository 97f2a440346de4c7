"""Kinds of sources: each file here turns one kind of raw input into a stream of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ingest.items import RawItem


class Source(Protocol):
    """Something that lists items.

    Attributes:
        root: Folder that the URIs of the items are relative to; nothing outside it is ever read.
        ignored: What was passed over while listing, by reason; complete when `scan` is exhausted.
    """

    root: Path
    ignored: Counter[str]

    def describe(self) -> str:
        """Say in one sentence how the input was understood."""
        ...

    def scan(self) -> Iterator[RawItem]:
        """List the items in a fixed order, without reading media."""
        ...
