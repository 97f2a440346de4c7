"""A hint where the names of files look like several fields of one item, which nobody has named. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from ingest.items import Part, RawItem
from ingest.sources.roles import MEDIA
from shards.schema import is_valid_field_name

_MOST_LOOKED_AT = 20_000
_SEPARATOR = re.compile(r"[_.]")
_MOST_ENDINGS = 4
_PICTURES = ("image", "raster", "ids")
_FIELDS = {word: field for field, words in MEDIA.items() for word in words}


def ending_hint(listing: Iterable[RawItem]) -> str | None:
    """Return which rules would join listed items, or None where most pictures do not look like fields of the same items.

    Args:
        listing: Items of a folder or an archive that was listed without rules; the first 20,000 are looked at.
    """
    items = [item for item in islice(listing, _MOST_LOOKED_AT) if item.problem is None]
    prefixes = _endings_by_prefix(items)
    sets = Counter(frozenset(endings) for endings in prefixes.values() if _joins_pictures(endings))
    if not sets:
        return None
    endings, count = max(sets.items(), key=lambda entry: (len(entry[0]) * entry[1], -len("".join(entry[0]))))
    fields = {ending: _field_name(ending, prefixes) for ending in sorted(endings)}
    num_pictures = sum(part.kind in _PICTURES for item in items for part in item.parts)
    is_told_apart = len(set(fields.values())) == len(fields) and all(map(is_valid_field_name, fields.values()))
    if count < 2 or 2 * count * len(endings) < num_pictures or not is_told_apart:
        return None
    rules = " ".join(f"--field {name}={ending}" for ending, name in fields.items())
    return f"the names look like {len(fields)} fields of one item; if they are: {rules}"


def _endings_by_prefix(items: Iterable[RawItem]) -> Mapping[str, dict[str, tuple[str, str]]]:
    """Return, for every way to cut the names in two, which endings follow a beginning, with the identity and the kind."""
    found: defaultdict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for item in items:
        for part in item.parts:
            for prefix, ending in _cuts(item, part):
                found[prefix][ending] = item.identity, part.kind
    return found


def _cuts(item: RawItem, part: Part) -> Iterator[tuple[str, str]]:
    path = part.member or part.uri
    folder, slash, name = path.rpartition("/")
    if part.row >= 0 or not name or not path.startswith(item.identity.rpartition("#")[2]):
        return
    for cut in list(_SEPARATOR.finditer(name))[-_MOST_ENDINGS:]:
        if cut.start() > 0:
            yield f"{item.identity.rpartition('#')[0]}#{folder}{slash}{name[: cut.start()]}", name[cut.start() :]


def _joins_pictures(endings: Mapping[str, tuple[str, str]]) -> bool:
    """Tell whether pictures of several items share a beginning."""
    return len({identity for identity, kind in endings.values() if kind in _PICTURES}) > 1


def _field_name(ending: str, prefixes: Mapping[str, Mapping[str, tuple[str, str]]]) -> str:
    """Return the field of files that end so: the well-known one of that name, else the name; the kind without a name."""
    name = ending.rpartition(".")[0].strip("_.").lower().replace(".", "_")
    kind = next(endings[ending][1] for endings in prefixes.values() if ending in endings)
    return _FIELDS.get(name, name) or kind
