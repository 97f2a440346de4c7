"""What a source lists, and the raw bytes that its items lead to, without running an ingest."""

from pathlib import Path
from typing import Any

from ingest.items import RawItem
from ingest.plan import PlannedItem
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import FetchSettings, Limits
from ingest.sources import Source
from ingest.sources.detect import FolderLabels, open_source


def opened(source: Path | str, *, labels: str = "auto", **rules: Any) -> Source:
    """Open a source as the command does."""
    return open_source(source, labels=FolderLabels(labels), **rules)


def listed(source: Source) -> dict[str, RawItem]:
    """Return the items of a source by identity."""
    items = list(source.scan())
    assert len({item.identity for item in items}) == len(items)
    return {item.identity: item for item in items}


def kinds(item: RawItem) -> dict[str, str]:
    """Return the kinds of the fields of an item by their names."""
    return {part.field: part.kind for part in item.parts}


def problems(items: dict[str, RawItem]) -> dict[str, str]:
    """Return the reasons of the items that the listing rejects."""
    return {name: item.problem[0].value for name, item in items.items() if item.problem is not None}


def raw_bytes(
    source: Source, items: dict[str, RawItem], limits: Limits | None = None, fetch: FetchSettings | None = None
) -> RawBytes:
    """Return what reads the parts of some items."""
    planned = [PlannedItem(item=item, shard=0, label=-1) for item in items.values()]
    return RawBytes(source.root.resolve(), planned, limits or Limits(), fetch)


def contents(source: Source, *, limits: Limits | None = None, fetch: FetchSettings | None = None) -> dict[str, Any]:
    """Return, for every item of a source, its raw bytes by field, or the reason of its rejection."""
    items = listed(source)
    raw = raw_bytes(source, items, limits, fetch)
    return {name: _content(item, raw) for name, item in items.items()}


def _content(item: RawItem, raw: RawBytes) -> Any:
    if item.problem is not None:
        return item.problem[0].value
    try:
        return {part.field: raw.raw(part).read() for part in item.parts}
    except Rejection as rejection:
        return rejection.reason.value
