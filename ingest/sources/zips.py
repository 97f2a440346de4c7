"""Zip archives as folders: listed from their directory, judged before a byte is unpacked, never extracted."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ingest.items import Part, RawItem
from ingest.labels import Problem
from ingest.sources import Source
from ingest.sources.assemble import FoundFile, assemble
from ingest.sources.fields import FieldRule
from ingest.sources.folder import kind_of_ignored, naming_of, rules_of
from ingest.sources.report import Understanding
from ingest.sources.rule_use import WatchedNaming
from shards.errors import SourceError
from shards.schema import RejectReason
from shards.storage import printable

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BOMB_RATIO = 200
_BOMB_BYTES = 1 << 20
_HEADER_BYTES = 30
DAMAGED_DIRECTORY = (zipfile.BadZipFile, struct.error, EOFError, OverflowError, ValueError, NotImplementedError)
"""What zipfile raises for a directory that is damaged."""


class ZipSource(Source):
    """Lists the members of zip archives, each as if it were a folder.

    Args:
        root: Folder of the archives.
        archives: The archives, inside that folder.
        folder_labels: Take the name of the folder that holds an item as its label, unless it has a label of its own.
        rules: Which files are which field; without any, extensions and well-known names decide.

    Raises:
        SourceError: While listing: an archive is damaged, or no member follows one of the rules.
    """

    def __init__(
        self, root: Path, archives: Sequence[Path], *, folder_labels: bool, rules: Sequence[FieldRule] = ()
    ) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._archives = sorted(archives)
        self._folder_labels = folder_labels
        self._rules = rules
        self._naming = WatchedNaming(naming_of(rules), rules)

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        one = len(self._archives) == 1
        return Understanding(
            kind="zip archive" if one else "zip archives",
            place=str(self._archives[0]) if one else f"{len(self._archives)} in {self.root}",
            items="files that share a stem",
            labels="the folder's name is the label" if self._folder_labels else "labels from .cls files and sidecars",
            rules=rules_of(self._rules),
        )

    def scan(self) -> Iterator[RawItem]:
        """List the items, archive by archive, in the order of their names."""
        self.ignored.clear()
        self._naming.begin()
        for path in self._archives:
            uri = path.relative_to(self.root).as_posix()
            with open_zip(path) as archive:
                container = _Archive(archive, uri, path.stat())
                found = list(self._fields(archive.infolist()))
                for item in assemble(found, container, self.ignored, folder_labels=self._folder_labels):
                    yield replace(item, identity=f"{uri}#{item.identity}")
        self._naming.require_all_used()

    def _fields(self, members: Iterable[zipfile.ZipInfo]) -> Iterator[FoundFile]:
        seen: set[str] = set()
        for member in members:
            passed_over = _why_passed_over(member)
            field = None if passed_over is not None else self._naming(member.filename)
            if member.is_dir():
                continue
            if field is None:
                self.ignored[passed_over or kind_of_ignored(member.filename)] += 1
            elif member.filename not in seen:
                seen.add(member.filename)
                yield FoundFile(path=member.filename, field=field)


class _Archive:
    """The members of an open archive."""

    def __init__(self, archive: zipfile.ZipFile, uri: str, status: os.stat_result) -> None:
        self._archive = archive
        self._uri = uri
        self._modified_ns = status.st_mtime_ns
        self._members = {member.filename: member for member in archive.infolist()}
        self._problems = _problems(archive.infolist(), status.st_size)

    def part(self, file: FoundFile) -> Part | Problem:
        if file.path in self._problems:
            return self._problems[file.path]
        member = self._members[file.path]
        return Part(
            field=file.field.name,
            kind=file.field.kind,
            uri=self._uri,
            member=file.path,
            offset=member.header_offset,
            size=member.file_size,
            modified_ns=self._modified_ns,
        )

    def read(self, path: str, limit: int) -> bytes:
        if path in self._problems:
            raise OSError(self._problems[path][1])
        try:
            with self._archive.open(self._members[path]) as file:
                return file.read(limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise OSError(f"the member is damaged: {error}") from error


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive and read its directory; the caller closes it.

    Raises:
        SourceError: The directory is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except DAMAGED_DIRECTORY as error:
        raise SourceError(f"{path} is not a readable zip archive: {error}.") from error


def _why_passed_over(member: zipfile.ZipInfo) -> str | None:
    """Return what keeps a member from being part of an item whatever it is called, or None if nothing does."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "symbolic link"
    parts = member.filename.split("/")
    return "hidden file" if any(part.startswith(".") and part not in (".", "..") for part in parts) else None


def _problems(members: Sequence[zipfile.ZipInfo], archive_bytes: int) -> dict[str, Problem]:
    """Return the members that are never read, by name, with the reason; headers tell."""
    problems: dict[str, Problem] = {}
    count = Counter(member.filename for member in members)
    for member in members:
        problem = _problem(member, archive_bytes)
        if problem is None and count[member.filename] > 1:
            shown = printable(member.filename)
            problem = (
                RejectReason.DUPLICATE_MEMBER,
                f"the archive has {count[member.filename]} members called '{shown}'",
            )
        if problem is not None:
            problems[member.filename] = problem
    in_place = sorted(members, key=lambda member: member.header_offset)
    for member, following in pairwise(in_place):
        if member.header_offset + _HEADER_BYTES + member.compress_size > following.header_offset:
            for name in (member.filename, following.filename):
                detail = f"'{printable(name)}' shares its bytes with another member"
                problems.setdefault(name, (RejectReason.FORBIDDEN_MEMBER, detail))
    return problems


def _problem(member: zipfile.ZipInfo, archive_bytes: int) -> Problem | None:
    shown = f"'{printable(member.filename)}'"
    if member.filename.startswith("/") or ".." in member.filename.split("/") or "\\" in member.filename:
        return RejectReason.FORBIDDEN_MEMBER, f"{shown} would lie outside the archive"
    if member.flag_bits & 1:
        return RejectReason.FORBIDDEN_MEMBER, f"{shown} is encrypted"
    if member.compress_type not in _METHODS:
        return (
            RejectReason.UNSUPPORTED_FORMAT,
            f"{shown} is packed by method {member.compress_type}; only deflate is read",
        )
    if not 0 <= member.header_offset <= archive_bytes - _HEADER_BYTES - member.compress_size:
        return RejectReason.UNREADABLE_FILE, f"{shown} claims to stand beyond the end of the archive"
    if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
        detail = f"{shown} claims to unpack {member.compress_size} bytes to {member.file_size}"
        return RejectReason.TOO_MANY_BYTES, detail
    return None
