"""Tells the kinds of sources apart by looking at what the user pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from ingest.sources import Source
from ingest.sources.folder import FolderSource, has_class_folders, is_field_file
from ingest.sources.table import SUFFIXES, TableSource
from ingest.sources.webdataset import WebdatasetSource
from shards.errors import SourceError, did_you_mean


class FolderLabels(StrEnum):
    """Where the labels of a folder's items come from."""

    AUTO = "auto"
    FOLDER = "folder"
    NONE = "none"


def open_source(path: Path, *, columns: Mapping[str, str], root: Path | None, labels: FolderLabels) -> Source:
    """Open what `path` points at: a folder of files, a folder of tars, one tar, or a table.

    Args:
        path: File or folder.
        columns: Roles of a table's columns, as named by the user.
        root: Folder that paths in a table are relative to; by default the folder of the table.
        labels: Where the labels of a folder's items come from.

    Raises:
        SourceError: There is nothing at `path`, or nothing that can be ingested.
    """
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise SourceError(f"There is no file or folder {path}.{did_you_mean(path.name, siblings)}")
    if path.is_file():
        return _open_file(path, columns=columns, root=root)
    if columns:
        raise SourceError(f"--column is for tables ({', '.join(SUFFIXES)}), but {path} is a folder.")
    tars = list(path.glob("*.tar"))
    if tars:
        _require_only_tars(path)
        return WebdatasetSource(path, tars)
    by_folder = labels is FolderLabels.FOLDER or (labels is FolderLabels.AUTO and has_class_folders(path))
    return FolderSource(path, folder_labels=by_folder)


def _require_only_tars(path: Path) -> None:
    others = sorted(entry.name for entry in path.iterdir() if is_field_file(entry))
    if others:
        raise SourceError(
            f"{path} holds both tars and files of its own ({others[0]} and {len(others) - 1} more). Is it a folder of "
            "files, or a WebDataset? Move one kind elsewhere, or point at one .tar."
        )


def _open_file(path: Path, *, columns: Mapping[str, str], root: Path | None) -> Source:
    if path.suffix.lower() in SUFFIXES:
        return TableSource(path, columns=columns, root=root or path.parent)
    if path.suffix == ".tar":
        return WebdatasetSource(path.parent, [path])
    raise SourceError(
        f"{path} is no source that maskloom reads: point at a folder of files, a table ({', '.join(SUFFIXES)}) or a .tar."
    )
