"""Kinds of sources: each file here turns one kind of raw input into a stream of items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.items import RawItem

if TYPE_CHECKING:
    from ingest.sources.report import Understanding


class Source(ABC):
    """Something that lists items.

    Attributes:
        root: Folder that the URIs of the items are relative to; nothing outside it is ever read.
        ignored: What was passed over while listing, by reason; complete when `scan` is exhausted, and begun anew by the next.
    """

    root: Path
    ignored: Counter[str]

    @property
    @abstractmethod
    def understanding(self) -> Understanding:
        """How the input was understood, before it is listed."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """All class names in the order of their numbers, where the source declares them."""
        return None

    @abstractmethod
    def scan(self) -> Iterator[RawItem]:
        """List the items in a fixed order, without reading media."""
