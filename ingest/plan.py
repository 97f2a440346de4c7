"""Which item goes to which shard at which row: a pure function of listing and settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from typing import Any

import xxhash

from ingest.declared import declare
from ingest.items import RawItem
from ingest.settings import IngestSettings
from shards.errors import SettingsError, SourceError, did_you_mean
from shards.schema import MAX_LABEL, SCHEMA_VERSION, Fields
from shards.storage import bytes_digest, canonical_json

SOFTWARE = (
    "av",
    "laspy",
    "lazrs",
    "maskloom",
    "numpy",
    "pillow",
    "pyarrow",
    "simplejpeg",
    "soundfile",
    "tifffile",
    "torch",
    "torchvision",
)
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
    """The whole ingest, decided before any media is decoded.

    Args:
        plan_id: Hash of settings, listing, schema version and library versions.
        settings: What the user decided.
        fields: Fields that the dataset declares, with their kinds.
        classes: Names of the labels by number; None where labels are plain numbers or absent.
        software: Versions of the libraries that decide stored bytes.
        items: All items in shard order.
        splits: The split of every shard; empty names for a dataset without splits.
    """

    plan_id: str
    settings: IngestSettings
    fields: Fields
    classes: tuple[str, ...] | None
    software: Mapping[str, str]
    items: Sequence[PlannedItem]
    splits: Sequence[str]

    @property
    def num_shards(self) -> int:
        """Shards that the plan makes."""
        return len(self.splits)

    def shards(self) -> Iterator[list[PlannedItem]]:
        """Yield the items of one shard after the other."""
        yield from (list(members) for _, members in groupby(self.items, key=lambda planned: planned.shard))


def make_plan(listing: Iterable[RawItem], settings: IngestSettings, *, classes: tuple[str, ...] | None = None) -> Plan:
    """Deal the items of a listing to shards.

    The order is a seeded shuffle: items that are cheap to read together stay together, these runs and the items inside
    them are ordered by a keyed hash. No media byte is ever moved to shuffle it. A shard holds items of one split.

    Args:
        listing: What the source lists, checked, and settled by its content where the settings ask for that.
        settings: What the user decided.
        classes: The names of all classes in the order of their numbers, where the source declares them.

    Raises:
        SourceError: The listing is empty, or gives a field two kinds.
        SettingsError: A field is required that the source does not have.
    """
    items = list(listing)
    if not items:
        raise SourceError("The source holds nothing to ingest: no picture, caption or table row was found.")
    fields = declare(items, settings)
    _require_declared(settings.require, fields)
    classes = classes or _classes(items)
    numbers = {name: number for number, name in enumerate(classes)} if classes else None
    software = {name: version(name) for name in SOFTWARE}
    order = sorted(items, key=lambda item: _shuffle_key(item, settings.seed))
    dealt = list(_deal(order, settings.shard_size))
    return Plan(
        plan_id=_plan_id([item for _, _, item in dealt], settings, software),
        settings=settings,
        fields=fields,
        classes=classes,
        software=software,
        items=[PlannedItem(item=item, shard=shard, label=_label_number(item, numbers)) for shard, _, item in dealt],
        splits=[split for _, split in dict.fromkeys((shard, split) for shard, split, _ in dealt)],
    )


def _deal(order: Iterable[RawItem], shard_size: int) -> Iterator[tuple[int, str, RawItem]]:
    """Yield shard, split and item; every split begins a new shard."""
    by_split: defaultdict[str, list[RawItem]] = defaultdict(list)
    for item in order:
        by_split[item.split].append(item)
    shard = 0
    for split, items in sorted(by_split.items()):
        for start in range(0, len(items), shard_size):
            yield from ((shard, split, item) for item in items[start : start + shard_size])
            shard += 1


def _require_declared(required: Iterable[str], fields: Fields) -> None:
    for name in required:
        if name not in fields:
            raise SettingsError(
                f"--require {name}: the source has no such field; it has {', '.join(fields)}.{did_you_mean(name, fields)}"
            )


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
    return _keyed_hash(item.near or item.identity, seed), item.near, _keyed_hash(item.identity, seed), item.key


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
