"""A folder of files: those that share a folder and a stem are the fields of one item (`a.jpg + a.txt + a.cls`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingest.items import Part, RawItem
from ingest.labels import Problem
from ingest.sources import Source
from ingest.sources.assemble import FoundFile, assemble
from ingest.sources.class_folders import looks_like_classes
from ingest.sources.fields import FieldRule, Naming, by_extension, by_rules, extension_of
from ingest.sources.report import Rule, Understanding
from ingest.sources.rule_use import WatchedNaming
from ingest.sources.sweeps import with_sweeps
from ingest.sources.table_rows import SUFFIXES
from shards.errors import SourceError
from shards.storage import printable

_SOURCES = (*SUFFIXES, ".npz", ".zip", ".tar")
_MOST_NOTES = 4


class FolderSource(Source):
    """Lists a folder and all folders below it; links are not followed, pipes and devices not opened.

    Args:
        root: The folder.
        folder_labels: Take the name of the folder that holds an item as its label, unless it has a label of its own.
        rules: Which files are which field; without any, extensions and well-known names decide.

    Raises:
        SourceError: While listing: a folder cannot be read, or no file follows one of the rules.
    """

    def __init__(self, root: Path, *, folder_labels: bool, rules: Sequence[FieldRule] = ()) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._folder_labels = folder_labels
        self._rules = rules
        self._naming = WatchedNaming(naming_of(rules), rules)

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        others = sorted(printable(path.name) for path in self.root.iterdir() if path.suffix.lower() in _SOURCES)
        notes = [f"{name} is not read; to use what it says, name it as the source" for name in others[:_MOST_NOTES]]
        return Understanding(
            kind="folder",
            place=str(self.root),
            items="files that share a stem",
            labels="the folder's name is the label" if self._folder_labels else "labels from .cls files and sidecars",
            rules=rules_of(self._rules),
            notes=tuple(notes),
        )

    def scan(self) -> Iterator[RawItem]:
        """List the items, folder by folder, in the order of their names."""
        self.ignored.clear()
        self._naming.begin()
        container = _Folder(self.root)
        found: list[FoundFile] = []
        crosses = any(rule.crosses_folders for rule in self._rules)
        for folder, entries in walk(self.root):
            if entries is None:
                self.ignored["link to a folder"] += 1
                continue
            found += self._fields(folder, entries)
            if not crosses:
                yield from self._items(found, container)
                found = []
        yield from self._items(found, container)
        self._naming.require_all_used()

    def _items(self, found: list[FoundFile], container: _Folder) -> Iterator[RawItem]:
        items = assemble(found, container, self.ignored, folder_labels=self._folder_labels)
        # A listing is streamed unless order needs all of a folder, so what vanishes meanwhile is seen when it is its turn.
        has_sweeps = any(file.field.kind == "points" for file in found)
        return iter(with_sweeps(items, self._name_of_top())) if has_sweeps else items

    def _name_of_top(self) -> str:
        """Return the name of the folder itself, unless a folder in it has the same: two drives never become one group."""
        name = self.root.resolve().name
        return name if name and not (self.root / name).exists() else "."

    def _fields(self, folder: str, entries: Sequence[os.DirEntry[str]]) -> Iterator[FoundFile]:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            passed_over = _why_passed_over(entry)
            field = None if passed_over is not None else self._naming(path)
            if field is not None and not entry.is_file(follow_symlinks=False):
                # Opening a pipe waits for ever.
                passed_over, field = "no regular file", None
            if field is not None:
                yield FoundFile(path=path, field=field)
            else:
                self.ignored[passed_over or kind_of_ignored(path)] += 1


class _Folder:
    """The files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def part(self, file: FoundFile) -> Part | Problem:
        status = os.stat(f"{self._root}/{file.path}", follow_symlinks=False)  # noqa: PTH116 - a Path for each is slower
        return Part(
            field=file.field.name,
            kind=file.field.kind,
            uri=file.path,
            size=status.st_size,
            modified_ns=status.st_mtime_ns,
        )

    def read(self, path: str, limit: int) -> bytes:
        with open(f"{self._root}/{path}", "rb") as file:  # noqa: PTH123 - a Path for each is slower
            return file.read(limit)


def naming_of(rules: Sequence[FieldRule]) -> Naming:
    """Return the naming of a folder's files: by the rules alone, or by extension where there are none."""
    return by_rules(rules) if rules else by_extension


def rules_of(rules: Sequence[FieldRule]) -> tuple[Rule, ...]:
    """Return rules as they are shown to people."""
    return tuple(
        Rule(found=rule.suffix if "*" in rule.suffix else f"*{rule.suffix}", field=rule.name, kind=rule.kind)
        for rule in rules
    )


def walk(root: Path) -> Iterator[tuple[str, list[os.DirEntry[str]] | None]]:
    """Yield every folder below `root`, as its path from there, with its files; None for a folder that is a link.

    Raises:
        SourceError: A folder cannot be listed.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            raise SourceError(
                f"The folder {error.filename} cannot be listed: {error.strerror}. Nothing in it would be ingested."
            ) from error
        folders = [entry for entry in entries if entry.is_dir()]
        yield folder, [entry for entry in entries if not entry.is_dir()]
        yield from ((entry.name, None) for entry in folders if entry.is_symlink())
        prefix = f"{folder}/" if folder else ""
        names = sorted((entry.name for entry in folders if not entry.is_symlink()), reverse=True)
        pending += [f"{prefix}{name}" for name in names]


def _why_passed_over(entry: os.DirEntry[str]) -> str | None:
    """Return what keeps a file from being part of an item whatever it is called, or None if nothing does."""
    if entry.name.startswith("."):
        return "hidden file"
    return "symbolic link" if entry.is_symlink() else None


def kind_of_ignored(path: str) -> str:
    """Return under which name a file is counted that is no field."""
    extension = extension_of(path)
    return f".{extension}" if extension else "no extension"


def has_class_folders(root: Path, naming: Naming = by_extension) -> bool:
    """Tell whether a folder looks like one class per subfolder, as `looks_like_classes` says."""
    files = (
        f"{folder}/{entry.name}" if folder else entry.name for folder, entries in walk(root) for entry in entries or ()
    )
    return looks_like_classes(files, naming)
