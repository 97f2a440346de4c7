"""What a dataset may hold: the field table, the index columns and the constants of the on-disk format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import pyarrow as pa

from shards.errors import DatasetError, did_you_mean

SCHEMA_VERSION = 1
BLOCK = 64
"""Samples per block: the unit of shuffling and reading, and one record batch in every Arrow file beside a tar."""
MAX_KEY_CHARACTERS = 96
MAX_LABEL = 2**31 - 1
ABSENT = -1
"""Size of a member that a sample does not have, and label of a sample without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One kind of field: the tar extensions that mean it, and the columns of facts the index keeps beside it."""

    extensions: tuple[str, ...]
    facts: Mapping[str, pa.DataType]


FIELDS: Mapping[str, FieldSpec] = MappingProxyType(
    {
        "image": FieldSpec(
            extensions=("jpg", "jpeg", "png", "webp"),
            facts={"image.format": pa.string(), "image.width": pa.int32(), "image.height": pa.int32()},
        ),
        "text": FieldSpec(extensions=("txt",), facts={"text.characters": pa.int32()}),
        "label": FieldSpec(extensions=("cls",), facts={"label": pa.int32()}),
        "metadata": FieldSpec(extensions=("json",), facts={}),
    }
)

FIELD_OF_EXTENSION: Mapping[str, str] = MappingProxyType(
    {extension: name for name, spec in FIELDS.items() for extension in spec.extensions}
)

PROVENANCE = {"key": pa.string(), "source": pa.string(), "licence": pa.string()}


class RejectReason(StrEnum):
    """Why an item was not stored. The list is closed: readers may rely on it."""

    AMBIGUOUS_FIELDS = "ambiguous_fields"
    BAD_TEXT_ENCODING = "bad_text_encoding"
    CHANGED_FILE = "changed_file"
    CORRUPT_IMAGE = "corrupt_image"
    DECODER_FAILED = "decoder_failed"
    DUPLICATE_MEMBER = "duplicate_member"
    EMPTY_FILE = "empty_file"
    EMPTY_TEXT = "empty_text"
    FORBIDDEN_MEMBER = "forbidden_member"
    INVALID_KEY = "invalid_key"
    INVALID_LABEL = "invalid_label"
    MISSING_FIELD = "missing_field"
    MISSING_FILE = "missing_file"
    MULTIPLE_FRAMES = "multiple_frames"
    OUTSIDE_ROOT = "outside_root"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNKNOWN_FORMAT = "unknown_format"
    UNREADABLE_FILE = "unreadable_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_PIXELS = "unsupported_pixels"


REJECTS_SCHEMA = pa.schema(
    [("key", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("detail", pa.string())]
)
MAX_DETAIL_CHARACTERS = 400

_KEY = re.compile(r"[A-Za-z0-9_\-]+(?:[A-Za-z0-9_\-/]*[A-Za-z0-9_\-])?")


def is_valid_key(key: str) -> bool:
    """Tell whether `key` may name tar members: at most 96 ASCII letters, digits, `_`, `-`, and `/` inside; no dot."""
    return len(key) <= MAX_KEY_CHARACTERS and _KEY.fullmatch(key) is not None and "//" not in key


def member_columns(field: str) -> dict[str, pa.DataType]:
    """Return the index columns that locate and check the member of `field`, and its facts."""
    if field not in FIELDS:
        raise DatasetError(f"There is no field '{field}'; fields are {', '.join(FIELDS)}.{did_you_mean(field, FIELDS)}")
    located = {
        f"{field}.offset": pa.int64(),
        f"{field}.size": pa.int64(),
        f"{field}.xxh3": pa.uint64(),
        f"{field}.sha256": pa.binary(32),
    }
    return located | dict(FIELDS[field].facts)


def index_schema(fields: tuple[str, ...]) -> pa.Schema:
    """Return the schema of a shard's index for a dataset that holds `fields`."""
    columns = dict(PROVENANCE)
    for field in fields:
        columns |= member_columns(field)
    return pa.schema(list(columns.items()))
