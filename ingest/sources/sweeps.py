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


def with_sweeps(items: Iterable[RawItem], top: str) -> list[RawItem]:
    """Return items in their order; numbered or time-stamped sweeps of one folder are a group in the order of their names.

    Args:
        items: The items.
        top: What the group of those is called that lie in no folder.
    """
    result = list(items)
    folders: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for place, item in enumerate(result):
        folder, _, name = _sweep_of(item).rpartition("/")
        if name:
            folders[folder][name] = place
    for folder, places in folders.items():
        patterns = {_NUMBER.sub("#", name) for name in places}
        if len(places) > 1 and len(patterns) == 1 and "#" in patterns.pop():
            _link(result, folder or top, places)
    return result


def _link(items: list[RawItem], group: str, places: dict[str, int]) -> None:
    from ingest.points.sweeps import sweep_places  # the readers of point clouds take their time to load

    for name, place in sweep_places(list(places)).items():
        items[places[name]] = replace(items[places[name]], group=group, place=place)


def _sweep_of(item: RawItem) -> str:
    """Return the path of the file of an item that can be a sweep; empty for any other item."""
    uris = [part.uri for part in item.parts if part.kind == "points" and extension_of(part.uri) in _SWEEPS]
    return uris[0] if len(uris) == 1 else ""
