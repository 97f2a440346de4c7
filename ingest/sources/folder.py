"""A folder of files: those that share a folder and a stem are the fields of one item (`a.jpg + a.txt + a.cls`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ingest.items import Part, RawItem
from ingest.labels import MAX_LABEL_BYTES, Problem, parse_label
from shards.errors import SourceError
from shards.schema import RejectReason

EXTENSIONS = {
    "image": ("jpg", "jpeg", "jpe", "png", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm"),
    "text": ("txt", "caption"),
    "label": ("cls", "label"),
}
_FIELD_OF = {extension: field for field, extensions in EXTENSIONS.items() for extension in extensions}


class FolderSource:
    """Lists a folder and all folders below it; links are not followed, pipes and devices not opened.

    Args:
        root: The folder.
        folder_labels: Take the name of the folder that holds an item as its label, unless it has a label file.

    Raises:
        SourceError: While listing: a folder cannot be read.
    """

    def __init__(self, root: Path, *, folder_labels: bool) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._folder_labels = folder_labels

    def describe(self) -> str:
        """Say in one sentence how the input was understood."""
        labels = "the folder's name is the label" if self._folder_labels else "labels from .cls files"
        return f"folder {self.root}: files that share a stem are one item; {labels}"

    def scan(self) -> Iterator[RawItem]:
        """List the items, folder by folder, in the order of their names."""
        for folder, subfolders, names in os.walk(self.root, onerror=_refuse_folder):
            subfolders.sort()
            for name in subfolders:
                if (Path(folder) / name).is_symlink():
                    self.ignored["link to a folder"] += 1
            relative = Path(folder).relative_to(self.root)
            known = sorted(self._known(Path(folder), names), key=lambda name: (_stem(name), name))
            for stem, files in groupby(known, key=_stem):
                yield from self._items(relative, stem, list(files))

    def _known(self, folder: Path, names: list[str]) -> Iterator[str]:
        for name in names:
            passed_over = _why_passed_over(folder / name)
            if passed_over is None:
                yield name
            else:
                self.ignored[passed_over] += 1

    def _items(self, folder: Path, stem: str, names: list[str]) -> Iterator[RawItem]:
        fields = [_FIELD_OF[_extension(name)] for name in names]
        label = self._label_of(folder)
        if len(set(fields)) == len(fields):
            yield self._item(folder, stem, names, label)
        elif set(fields) == {"image"}:
            # Pictures that differ only in their extension and share nothing else are pictures of their own.
            for name in names:
                yield self._item(folder, name, [name], label)
        else:
            problem = f"{', '.join(names)}: more than one file for the same field; rename so that each stem is one item"
            identity = (folder / stem).as_posix()
            yield RawItem(identity=identity, parts=(), problem=(RejectReason.AMBIGUOUS_FIELDS, problem))

    def _item(self, folder: Path, identity: str, names: list[str], label: str | None) -> RawItem:
        parts = []
        problem = None
        for name in names:
            path = folder / name
            field = _FIELD_OF[_extension(name)]
            try:
                if field == "label":
                    label, problem = self._read_label(path)
                else:
                    parts.append(self._part(field, path))
            except FileNotFoundError:
                problem = RejectReason.MISSING_FILE, f"{path} went away while the folder was listed"
            except OSError as error:
                problem = RejectReason.UNREADABLE_FILE, f"{path}: {error.strerror}"
            if problem is not None:
                break
        return RawItem(identity=(folder / identity).as_posix(), parts=tuple(parts), label=label, problem=problem)

    def _part(self, field: str, path: Path) -> Part:
        status = (self.root / path).stat()
        return Part(field=field, uri=path.as_posix(), size=status.st_size, modified_ns=status.st_mtime_ns)

    def _read_label(self, path: Path) -> tuple[str | None, Problem | None]:
        with (self.root / path).open("rb") as file:
            return parse_label(file.read(MAX_LABEL_BYTES + 1), path.name)

    def _label_of(self, folder: Path) -> str | None:
        return folder.name if self._folder_labels and folder.name else None


def _refuse_folder(error: OSError) -> None:
    raise SourceError(
        f"The folder {error.filename} cannot be listed: {error.strerror}. Nothing in it would be ingested."
    )


def _why_passed_over(path: Path) -> str | None:
    """Return what keeps a file from being part of an item, or None if nothing does."""
    extension = _extension(path.name)
    if path.name.startswith("."):
        return "hidden file"
    if path.is_symlink():
        return "symbolic link"
    if extension not in _FIELD_OF:
        return f".{extension}" if extension else "no extension"
    # Opening a pipe waits for ever. What has gone away meanwhile is left to the item that it belongs to.
    return None if path.is_file() or not path.exists() else "no regular file"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_field_file(path: Path) -> bool:
    """Tell whether a file would be a field of an item."""
    return path.is_file() and _extension(path.name) in _FIELD_OF


def has_class_folders(root: Path) -> bool:
    """Tell whether a folder looks like one class per subfolder.

    True when no picture lies at the top, at least two folders hold pictures, there are on average at least two pictures
    to a folder, and there is no label file anywhere.
    """
    pictures = Counter[str]()
    for folder, _, names in os.walk(root):
        extensions = [_extension(name) for name in names]
        if any(_FIELD_OF.get(extension) == "label" for extension in extensions):
            return False
        count = sum(_FIELD_OF.get(extension) == "image" for extension in extensions)
        if count:
            pictures[folder] += count
    return str(root) not in pictures and len(pictures) >= 2 and pictures.total() >= 2 * len(pictures)
