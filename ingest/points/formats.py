"""Which reader a file belongs to: by how it begins, where its format has such a mark, else by its name."""

from __future__ import annotations

import re
from collections.abc import Callable

from ingest.points.cloud import Cloud
from ingest.points.las import read_las
from ingest.points.lidar_bin import read_lidar_bin
from ingest.points.npy import read_npy
from ingest.points.obj import read_obj
from ingest.points.off import read_off
from ingest.points.pcd import read_pcd
from ingest.points.ply import read_ply
from ingest.points.stl import read_stl
from ingest.points.text import read_text
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

Reader = Callable[[Raw, Limits], Cloud]

_MARKS: tuple[tuple[re.Pattern[bytes], Reader], ...] = (
    (re.compile(rb"ply[ \t]*[\r\n]"), read_ply),
    (re.compile(rb"LASF"), read_las),
    (re.compile(rb"\x93NUMPY"), read_npy),
    (re.compile(rb"(?:#[^\n]*\n|\s)*(?:ST)?C?N?4?n?OFF(?![A-Za-z])"), read_off),
    (re.compile(rb"(?:#[^\n]*\n)*VERSION[ \t]+0?\.[0-9]"), read_pcd),
)
_MARK_BYTES = 4096
_MARKED = ("ply", "las", "laz", "npy", "off", "pcd")
_UNMARKED: dict[str, Reader] = {
    "obj": read_obj,
    "stl": read_stl,
    "bin": read_lidar_bin,
    **dict.fromkeys(("xyz", "txt", "pts", "asc", "csv", "tsv", "xyzn", "xyzrgb"), read_text),
}

EXTENSIONS = frozenset({*_MARKED, *_UNMARKED})
"""Endings of files that may hold points."""


def reader_of(raw: Raw) -> Reader:
    """Return the reader for a file.

    Raises:
        Rejection: The file is empty, or of a format that is not read.
    """
    if not raw.size:
        raise Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    with raw.open() as file:
        start = file.read(_MARK_BYTES)
    for mark, reader in _MARKS:
        if mark.match(start):
            return reader
    if raw.extension in _UNMARKED:
        return _UNMARKED[raw.extension]
    begins = f"it begins with {start[:8].hex(' ')}"
    if raw.extension in _MARKED:
        raise Rejection(RejectReason.CORRUPT_POINTS, f"named .{raw.extension}, but {begins}")
    raise Rejection(RejectReason.UNKNOWN_FORMAT, f"{begins}; formats are {', '.join(sorted(EXTENSIONS))}")
