"""Point clouds that lie in one folder in the order of time: sweeps of one drive."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ingest.items import RawItem
from ingest.sources.fields import extension_of

_SWEEPS = ("bin", "pcd")
_NUMBER = re.compile(r"[0-9]+")


def with_sweeps(items: Iterable[RawItem]) -> list[RawItem]:
    """Return items in their order; numbered or time-stamped sweeps of one folder are a group in the order of their names."""
    result = list(items)
    folders: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for place, item in enumerate(result):
        folder, _, name = _sweep_of(item).rpartition("/")
        if name:
            folders[folder][name] = place
    for folder, places in folders.items():
        patterns = {_NUMBER.sub("#", name) for name in places}
        if len(places) > 1 and len(patterns) == 1 and "#" in patterns.pop():
            _link(result, folder, places)
    return result


def _link(items: list[RawItem], folder: str, places: dict[str, int]) -> None:
    from ingest.points.sweeps import sweep_order  # the readers of point clouds take their time to load

    for order, name in enumerate(sweep_order(list(places))):
        items[places[name]] = replace(items[places[name]], group=folder or ".", place=order)


def _sweep_of(item: RawItem) -> str:
    """Return the path of the file of an item that can be a sweep; empty for any other item."""
    uris = [part.uri for part in item.parts if part.kind == "points" and extension_of(part.uri) in _SWEEPS]
    return uris[0] if len(uris) == 1 else ""
