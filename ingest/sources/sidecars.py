"""JSON sidecars: the record beside a picture, whose entries are read like the columns of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.labels import Problem
from ingest.sources.nesting import MAX_NESTING, is_nested_too_deep
from ingest.sources.roles import SAID, TEXTS
from shards.schema import RejectReason
from shards.storage import printable

MAX_SIDECAR_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What a sidecar says about its item.

    Args:
        captions: Its captions, one to a line; empty without any.
        label: The label, if it gives one.
        licence: The licence, if it gives one.
        columns: Everything else.
    """

    captions: str = ""
    label: str | None = None
    licence: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


def parse_sidecar(data: bytes, where: str) -> Sidecar | Problem:
    """Return what a sidecar says, or the reason why it is none: it is a JSON object in UTF-8.

    Args:
        data: Up to one byte more than a sidecar may have, so that a longer one is noticed.
        where: File or member, for people.
    """
    shown = printable(where)
    if len(data) > MAX_SIDECAR_BYTES:
        return RejectReason.TOO_MANY_BYTES, f"{shown}: a sidecar has at most {MAX_SIDECAR_BYTES} bytes"
    try:
        record = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return RejectReason.BAD_TEXT_ENCODING, f"{shown} is not JSON: {error}"
    if not isinstance(record, dict):
        return RejectReason.BAD_TEXT_ENCODING, f"{shown} holds {type(record).__name__}, not a JSON object"
    if is_nested_too_deep(record):
        return RejectReason.BAD_TEXT_ENCODING, f"{shown} is nested more than {MAX_NESTING} deep"
    text, label, licence = (_first(record, names) for names in (TEXTS, SAID["label"], SAID["licence"]))
    captions = record.pop(text, None)
    lines = captions if isinstance(captions, list) else [captions]
    return Sidecar(
        captions="\n".join(str(line) for line in lines if line not in (None, "")),
        label=_plain(record.pop(label, None)),
        licence=_plain(record.pop(licence, None)),
        columns=record,
    )


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of the known names whose entry is plain: text, a number, or for captions a list."""
    return next((name for name in names if name in record and not isinstance(record[name], dict)), "")


def _plain(value: Any) -> str | None:  # noqa: ANN401 - JSON holds anything
    return None if value in (None, "", []) else str(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
