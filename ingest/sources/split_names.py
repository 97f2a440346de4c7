"""Splits that a source comes with: said by a column, or only hinted at by names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ingest.labels import Problem
from shards.schema import RejectReason
from shards.storage import printable

_WORDS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "t10k")
_MOST_CHARACTERS = 64


def split_of(value: Any) -> str | Problem:  # noqa: ANN401 - a table holds anything
    """Return the split that a cell names, or why it names none: a split is letters, digits and `_`."""
    name = value.strip() if isinstance(value, str) else ""
    if not name.isidentifier() or len(name) > _MOST_CHARACTERS:
        shown = printable(repr(value))[:_MOST_CHARACTERS]
        return RejectReason.INVALID_LABEL, f"{shown} cannot name a split; take letters, digits and _"
    return name


def hinted_splits(names: Iterable[str]) -> tuple[str, ...]:
    """Return the words in the names of files that look like splits, sorted; empty unless files differ in them."""
    found = {frozenset(re.split(r"[^a-z0-9]+", name.lower())).intersection(_WORDS) for name in names} - {frozenset()}
    return tuple(sorted(frozenset().union(*found))) if len(found) > 1 else ()


def notes_on_splits(names: Iterable[str], columns: Iterable[str], said: Mapping[str, object]) -> list[str]:
    """Return what people should know about splits that are there and are not used.

    Args:
        names: Names of the files that are ingested together.
        columns: Columns without a role.
        said: The roles that are taken; with `split` among them there is nothing to say.
    """
    if "split" in said:
        return []
    found = hinted_splits(names)
    notes = [f"files of {' and '.join(found)} are ingested together; name one of them, or --column split=COLUMN"]
    unused = [
        f"column '{column}' is kept as metadata and no item is dealt by it; --column split={column} does"
        for column in columns
        if column.lower() == "split"
    ]
    return (notes if found else []) + unused
