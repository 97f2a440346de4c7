"""Columns of numbers in text: XYZ, PTS, TXT, ASC, CSV and whatever else they are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.points.ascii_numbers import parse_rows, with_newlines
from ingest.points.claims import corrupt, require_points, require_storable
from ingest.points.cloud import COORDINATES, Cloud, named_columns
from ingest.points.nameless import guess_names
from ingest.raw import Raw
from ingest.settings import Limits

_HEADER_LINES = 64
_HEADER_BYTES = 1 << 16
_COMMENT = re.compile(rb"(?:#|//)[^\n]*")
_DELIMITERS = (b";", b",")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where the numbers begin, what separates them, how many a line has, and what was found above them."""

    start: int
    delimiter: bytes
    width: int
    names: list[str] | None
    claimed: int | None


def read_text(raw: Raw, limits: Limits) -> Cloud:
    """Read lines of numbers, separated by blanks, tabs, commas or semicolons.

    Lines above the numbers may name the columns (also in a comment) or, alone, say how many points follow (PTS). Comments
    begin with `#` or `//`. Columns without names are named by what is in them.

    Raises:
        Rejection: There are no such lines, they differ in length, are cut off, or over a limit.
    """
    text = with_newlines(raw.read().removeprefix(b"\xef\xbb\xbf"))
    layout = _layout(text)
    body = text[layout.start :]
    ends = body.count(b"\n")
    require_points(ends, limits)
    require_storable(ends, layout.width, limits)
    if b"#" in body or b"//" in body:
        body = _COMMENT.sub(b"", body)
    table = parse_rows(body, delimiter=layout.delimiter, columns=layout.width)
    if layout.claimed is not None and layout.claimed != len(table):
        raise corrupt(f"the first line claims {layout.claimed} points, {len(table)} are there")
    names = layout.names or guess_names(table)
    return Cloud(columns=named_columns(zip(names, table.T, strict=True)), source_format="text")


def _layout(text: bytes) -> _Layout:
    names, claimed, start = list[str](), None, 0
    for line in text[:_HEADER_BYTES].split(b"\n")[:_HEADER_LINES]:
        delimiter = next((character for character in _DELIMITERS if character in line), b" ")
        words = _words(_COMMENT.sub(b"", line), delimiter)
        if len(words) >= len(COORDINATES) and all(_NUMBER.fullmatch(word) for word in words):
            chosen = (
                names if len(names) == len(words) and set(COORDINATES) <= {name.lower() for name in names} else None
            )
            return _Layout(start=start, delimiter=delimiter, width=len(words), names=chosen, claimed=claimed)
        if len(words) == 1 and words[0].isdigit() and len(words[0]) < 19:
            claimed = int(words[0])
        elif line.strip():
            names = [word.decode("latin-1") for word in _words(line.lstrip(b"#/ \t"), delimiter)]
        start += len(line) + 1
    raise corrupt(f"no line of three or more numbers among the first {_HEADER_LINES}")


def _words(line: bytes, delimiter: bytes) -> list[bytes]:
    words = line.split() if delimiter == b" " else [word.strip() for word in line.split(delimiter)]
    return words if any(words) else []
