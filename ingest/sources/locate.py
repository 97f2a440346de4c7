"""Where the paths lead that a table names: to files below its root, never elsewhere."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from ingest.items import Part
from ingest.labels import Problem
from ingest.sources.addresses import printable_uri, scheme_of, why_forbidden
from shards.schema import RejectReason
from shards.storage import printable


class Locator:
    """Turns what a table says into parts.

    Args:
        root: Folder that paths are relative to; paths that leave it, by links too, are refused.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._resolved = root.resolve()
        self._folders: dict[Path, Path] = {}

    def part(self, written: str, field: str, kind: str) -> Part | Problem:
        """Return the part that a path or an address stands for, or why there is none."""
        if scheme_of(written) is not None:
            return _address_part(written, field, kind)
        path = self._root / written
        shown = printable(written)
        try:
            resolved, status = self._resolve(path)
        except (FileNotFoundError, NotADirectoryError):
            return RejectReason.MISSING_FILE, f"'{shown}' is not there (looked for {printable(str(path))})"
        except (OSError, ValueError, RuntimeError) as error:  # no path at all, too long, or links in a circle
            return RejectReason.UNREADABLE_FILE, f"'{shown}': {error}"
        if not resolved.is_relative_to(self._resolved):
            hint = "; name a wider --root to allow it" if Path(written).is_absolute() else ""
            return RejectReason.OUTSIDE_ROOT, f"'{shown}' lies outside {self._root}{hint}"
        uri = resolved.relative_to(self._resolved).as_posix()
        return Part(field=field, kind=kind, uri=uri, size=status.st_size, modified_ns=status.st_mtime_ns)

    def _resolve(self, path: Path) -> tuple[Path, os.stat_result]:
        """Follow all links; folders, of which there are few, once."""
        if path.name in ("", ".."):
            resolved = path.resolve()
            return resolved, resolved.stat()
        folder = self._folders.get(path.parent)
        if folder is None:
            folder = self._folders[path.parent] = path.parent.resolve()
        leaf = folder / path.name
        status = leaf.lstat()
        if not stat.S_ISLNK(status.st_mode):
            return leaf, status
        resolved = leaf.resolve()
        return resolved, resolved.stat()


def _address_part(written: str, field: str, kind: str) -> Part | Problem:
    forbidden = why_forbidden(written)
    if forbidden is not None:
        return RejectReason.FORBIDDEN_ADDRESS, f"{printable_uri(written)}: {forbidden}"
    return Part(field=field, kind=kind, uri=written)


def cut_part(part: Part, start_s: float | None, end_s: float | None) -> Part:
    """Return the part of a video or a sound between two times in seconds; any other part as it is."""
    return replace(part, start_s=start_s, end_s=end_s) if part.kind in ("video", "audio") else part
