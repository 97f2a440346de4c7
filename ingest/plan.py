"""Which item goes to which shard at which row: a pure function of listing and settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import xxhash

from ingest.items import RawItem
from ingest.settings import IngestSettings
from shards.errors import SourceError
from shards.schema import FIELDS, MAX_LABEL, SCHEMA_VERSION, RejectReason
from shards.storage import bytes_digest, canonical_json

SOFTWARE = ("maskloom", "pillow", "simplejpeg", "torch", "torchvision")
"""Distributions whose versions can change stored bytes; they are part of the plan's identity."""

_UNLABELLED = -1
_LABEL_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """An item in its place: the shard it belongs to, and its label's number (-1 for none)."""

    item: RawItem
    shard: int
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole ingest, decided before a byte of media is read.

    Args:
        plan_id: Hash of settings, listing, schema version and library versions.
        settings: What the user decided.
        fields: Fields that the dataset declares, in the order of the field table.
        classes: Names of the labels by number; None where labels are plain numbers or absent.
        software: Versions of the libraries that decide stored bytes.
        items: All items in shard order; shard s holds items [s * shard_size, (s + 1) * shard_size).
    """

    plan_id: str
    settings: IngestSettings
    fields: tuple[str, ...]
    classes: tuple[str, ...] | None
    software: Mapping[str, str]
    items: Sequence[PlannedItem]

    @property
    def num_shards(self) -> int:
        """Shards that the plan makes."""
        return -(-len(self.items) // self.settings.shard_size)


def make_plan(listing: Iterable[RawItem], settings: IngestSettings) -> Plan:
    """Deal the items of a listing to shards.

    The order is a seeded shuffle: groups of items that are cheap to read together stay together, groups and the items
    inside them are ordered by a keyed hash. No media byte is ever moved to shuffle it.

    Raises:
        SourceError: The listing is empty.
    """
    items = [_with_readable_names(item) for item in _without_doubles(listing)]
    if not items:
        raise SourceError("The source holds nothing to ingest: no picture, caption or table row was found.")
    fields = _declared_fields(items)
    classes = _classes(items)
    numbers = {name: number for number, name in enumerate(classes)} if classes else None
    settings = settings if settings.require else replace(settings, require=fields[:1])
    software = {name: version(name) for name in SOFTWARE}
    order = sorted(items, key=lambda item: _shuffle_key(item, settings.seed))
    return Plan(
        plan_id=_plan_id(order, settings, software),
        settings=settings,
        fields=fields,
        classes=classes,
        software=software,
        items=[
            PlannedItem(item=item, shard=row // settings.shard_size, label=_label_number(item, numbers))
            for row, item in enumerate(order)
        ],
    )


def _without_doubles(listing: Iterable[RawItem]) -> Iterator[RawItem]:
    """Mark every item whose key was seen before: it is rejected, and nothing is stored twice."""
    seen: set[str] = set()
    for item in listing:
        if item.key in seen:
            detail = f"'{item.identity}' occurs more than once in the source; the first is kept"
            yield replace(item, parts=(), problem=(RejectReason.DUPLICATE_MEMBER, detail))
        else:
            seen.add(item.key)
            yield item


def _with_readable_names(item: RawItem) -> RawItem:
    """Reject an item whose label or licence is not UTF-8: a manifest could not name it."""
    for what, text in (("label", item.label), ("licence", item.licence)):
        if text is not None and text.encode("utf-8", "replace").decode() != text:
            reason = RejectReason.INVALID_LABEL if what == "label" else RejectReason.BAD_TEXT_ENCODING
            problem = item.problem or (reason, f"the {what} of '{item.identity}' is not UTF-8")
            return replace(item, label=None, licence=None, problem=problem)
    return item


def _declared_fields(items: Iterable[RawItem]) -> tuple[str, ...]:
    found: set[str] = set()
    for item in items:
        found.update(part.field for part in item.parts)
        if item.label is not None:
            found.add("label")
        if item.columns:
            found.add("metadata")
    return tuple(name for name in FIELDS if name in found) or ("image",)


def _classes(items: Iterable[RawItem]) -> tuple[str, ...] | None:
    """Return the sorted class names, or None where there are no labels or all of them are numbers already."""
    names = {item.label for item in items if item.label is not None}
    if all(_is_label_number(name) for name in names):
        return None
    return tuple(sorted(names))


def _is_label_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < _LABEL_DIGITS and int(name) <= MAX_LABEL


def _label_number(item: RawItem, numbers: Mapping[str, int] | None) -> int:
    if item.label is None:
        return _UNLABELLED
    return int(item.label) if numbers is None else numbers[item.label]


def _shuffle_key(item: RawItem, seed: int) -> tuple[int, str, int, str]:
    return _keyed_hash(item.group or item.identity, seed), item.group, _keyed_hash(item.identity, seed), item.key


def _keyed_hash(text: str, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogateescape"), seed=seed)


def _plan_id(items: Iterable[RawItem], settings: IngestSettings, software: Mapping[str, str]) -> str:
    head = {"schema_version": SCHEMA_VERSION, "settings": settings.to_json(), "software": dict(software)}
    state = hashlib.sha256(canonical_json(head))
    for item in items:
        state.update(repr(item).encode("utf-8", "surrogateescape"))
    return f"sha256:{state.hexdigest()}"


def metadata_json(item: RawItem) -> bytes | None:
    """Return the `metadata` member of an item: its other columns as JSON, or None if it has none.

    NaN and infinities, for which JSON has no word, become null.

    Raises:
        UnicodeEncodeError: A column is not UTF-8.
    """
    if not item.columns:
        return None
    return json.dumps(_json_value(dict(item.columns)), sort_keys=True, ensure_ascii=False, default=str).encode()


def _json_value(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _json_value(entry) for name, entry in value.items()}
    return [_json_value(entry) for entry in value] if isinstance(value, list) else value


def listing_digest(plan: Plan) -> str:
    """Return the digest of what was listed, whatever the settings: tells a changed source from changed settings."""
    state = hashlib.sha256()
    for key in sorted(f"{planned.item.key} {planned.item!r}" for planned in plan.items):
        state.update(key.encode("utf-8", "surrogateescape"))
    return bytes_digest(state.digest())
