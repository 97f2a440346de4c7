"""Values as bytes and back, for the processes of one machine. Nothing is pickled: the list of classes is closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

import msgpack  # type: ignore[import-untyped, unused-ignore]

_CLASSES: Mapping[str, str] = {
    "Content": "ingest.contents",
    "EncodedItem": "ingest.stored",
    "FileRecord": "shards.receipt",
    "Receipt": "shards.receipt",
    "StoredField": "ingest.stored",
}
"""The dataclasses that travel, with their modules, which are imported when one arrives: a client only ever sees receipts."""
_TUPLE, _DATACLASS = 1, 2


def pack(value: object) -> bytes:
    """Return a value as bytes: text, numbers, bytes, lists, tuples, maps, and dataclasses of the closed list.

    Text may hold the surrogates of file names that are not UTF-8.

    Raises:
        TypeError: Something in it is nothing of that.
    """
    return bytes(msgpack.packb(value, default=_extended, strict_types=True, unicode_errors="surrogateescape"))


def _extended(value: object) -> object:
    if isinstance(value, tuple):
        return msgpack.ExtType(_TUPLE, pack(list(value)))
    name = type(value).__name__
    if type(value).__module__ == _CLASSES.get(name):
        values = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
        return msgpack.ExtType(_DATACLASS, pack([name, values]))
    if isinstance(value, str):  # a member of an enumeration
        return str(value)
    if isinstance(value, float):  # numpy's float64 is one
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"{value!r}, a {type(value).__name__}, cannot be handed to another process; make it text or a number."
    )


def unpack(data: bytes) -> Any:  # noqa: ANN401 - whatever was packed
    """Read a value back.

    Raises:
        ValueError: The bytes are cut short or are none of `pack`.
    """
    return msgpack.unpackb(data, ext_hook=_restored, strict_map_key=False, unicode_errors="surrogateescape")


def _restored(code: int, data: bytes) -> object:
    content = unpack(data)
    if code == _TUPLE:
        return tuple(content)
    name, values = content
    return getattr(import_module(_CLASSES[name]), name)(**values)
