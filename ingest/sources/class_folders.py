"""Tells folders of classes from folders of anything else, by the names of the files in them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ingest.sources.fields import LABEL, METADATA, Naming


def looks_like_classes(paths: Iterable[str], naming: Naming) -> bool:
    """Tell whether files lie in one folder per class.

    True when no media lies at the top, at least two folders hold media, all of them the same kinds, there are on average at
    least two items' worth to a folder, and there is no label file anywhere.

    Args:
        paths: Files below the root; hidden ones do not count.
        naming: Says what they are.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in paths:
        is_hidden = path.startswith(".") or "/." in path
        found = None if is_hidden else naming(path)
        if found is None or found.kind in ("text", METADATA):
            continue
        if found.kind == LABEL:
            return False
        counts[found.stem.rpartition("/")[0]][found.kind] += 1
    kinds = {frozenset(found) for found in counts.values()}
    most_common = [max(found.values()) for found in counts.values()]
    return "" not in counts and len(counts) >= 2 and len(kinds) == 1 and sum(most_common) >= 2 * len(counts)
