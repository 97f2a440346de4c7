"""Captions and metadata records: from raw bytes to checked, normalised UTF-8."""

from __future__ import annotations

import json
import unicodedata

from ingest.rejection import Rejection
from shards.schema import RejectReason


def store_text(data: bytes) -> bytes:
    """Return a caption as normalised UTF-8 (NFC, no byte order mark, no surrounding white space, Unix line ends).

    Raises:
        Rejection: It is not UTF-8, or nothing is left of it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"byte {error.start} is not UTF-8: {error.reason}") from error
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text:
        raise Rejection(RejectReason.EMPTY_TEXT, "the caption is empty")
    return text.encode()


def store_metadata(data: bytes) -> bytes:
    """Return a metadata record as it is, once it is known to be a JSON object in UTF-8.

    Raises:
        Rejection: It is not, or holds NaN or infinities, which JSON does not have.
    """
    try:
        record = json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"the metadata is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"the metadata is {type(record).__name__}, not a JSON object")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
