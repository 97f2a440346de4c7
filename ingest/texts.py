"""Captions and metadata records: from raw bytes to checked, normalised UTF-8."""

from __future__ import annotations

import json
import unicodedata

from ingest.rejection import Rejection
from ingest.settings import Filters
from ingest.stored import StoredField
from shards.schema import RejectReason


def store_text(data: bytes, name: str, filters: Filters) -> StoredField:
    """Turn captions, one to a line, into the field `name`: UTF-8, NFC, no byte order mark, Unix line ends, no empty lines.

    Raises:
        Rejection: They are not UTF-8, nothing is left of them, or the shortest or longest is not as long as wanted.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"byte {error.start} is not UTF-8: {error.reason}") from error
    unix = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    captions = [line for line in map(str.strip, unix.split("\n")) if line]
    if not captions:
        raise Rejection(RejectReason.EMPTY_TEXT, "the caption is empty")
    shortest, longest = min(map(len, captions)), max(map(len, captions))
    if filters.min_characters is not None and shortest < filters.min_characters:
        raise Rejection(RejectReason.TOO_SHORT, f"{shortest} characters; the least is {filters.min_characters}")
    if filters.max_characters is not None and longest > filters.max_characters:
        raise Rejection(RejectReason.TOO_LONG, f"{longest} characters; the most is {filters.max_characters}")
    stored = "\n".join(captions)
    facts = {"characters": len(stored), "captions": len(captions), "longest": longest}
    return StoredField(name=name, kind="text", data=stored.encode(), extension="txt", facts=facts)


def store_metadata(data: bytes, name: str) -> StoredField:
    """Return a metadata record as the field `name`, unchanged, once it is known to be a JSON object in UTF-8.

    Raises:
        Rejection: It is not, or holds NaN or infinities, which JSON does not have.
    """
    try:
        record = json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"the metadata is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"the metadata is {type(record).__name__}, not a JSON object")
    return StoredField(name=name, kind="metadata", data=data, extension="json")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
