"""Tells the kinds of sources apart by looking at what the user pointed at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from ingest.sources import Source
from ingest.sources.addresses import is_address
from ingest.sources.array_files import is_idx
from ingest.sources.arrays import SUFFIXES as ARRAY_SUFFIXES
from ingest.sources.arrays import ArraySource, is_array_file, with_partner
from ingest.sources.class_folders import looks_like_classes
from ingest.sources.fields import METADATA, FieldRule, by_extension, parse_field_rule
from ingest.sources.folder import FolderSource, has_class_folders, naming_of
from ingest.sources.roles import ColumnRule, parse_column_rule
from ingest.sources.table import TableSource
from ingest.sources.table_rows import SUFFIXES, is_parquet
from ingest.sources.webdataset import WebdatasetSource
from ingest.sources.zips import ZipSource, open_zip
from shards.errors import SourceError, did_you_mean

_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".7z", ".rar")


class FolderLabels(StrEnum):
    """Where the labels of a folder's items come from."""

    AUTO = "auto"
    FOLDER = "folder"
    NONE = "none"


def open_source(
    source: str | Path,
    *,
    columns: Sequence[str] = (),
    fields: Sequence[str] = (),
    root: Path | None = None,
    labels: FolderLabels = FolderLabels.AUTO,
) -> Source:
    """Open what `source` points at: a folder, an archive, a table, arrays, or a folder in an object store.

    Args:
        source: File, folder, or address of a folder.
        columns: Which column of a table, or array of a file, has which role: `ROLE[:KIND]=COLUMN`.
        fields: Which files of a folder or an archive are which field: `NAME[:KIND]=SUFFIX`.
        root: Folder that paths in a table are relative to; by default the folder of the table.
        labels: Where the labels of a folder's items come from.

    Raises:
        SourceError: There is nothing there, or nothing that can be ingested, or `root` is no folder.
        SettingsError: A rule makes no sense.
    """
    column_rules = [parse_column_rule(text) for text in columns]
    field_rules = [parse_field_rule(text) for text in fields]
    if root is not None and not root.is_dir():
        raise SourceError(f"--root {root} is not there, or no folder.{_sibling(root)}")
    if is_address(str(source)):
        return _open_address(str(source), column_rules, field_rules, labels)
    path = Path(source)
    if not path.exists():
        raise SourceError(f"There is no file or folder {path}.{_sibling(path)}")
    opener = _open_file if path.is_file() else _open_folder
    return opener(path, column_rules, field_rules, root, labels)


def _sibling(path: Path) -> str:
    """Return a hint at what is called like a path that is not there."""
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, [name for name in siblings if name != path.name])


def _open_address(url: str, columns: Sequence[ColumnRule], fields: Sequence[FieldRule], labels: FolderLabels) -> Source:
    from ingest.sources.remote import RemoteSource  # the libraries of object stores take their time to load

    _refuse_columns(columns, url)
    folder_labels = None if labels is FolderLabels.AUTO else labels is FolderLabels.FOLDER
    return RemoteSource(url, folder_labels=folder_labels, rules=fields)


def _open_file(
    path: Path,
    columns: Sequence[ColumnRule],
    fields: Sequence[FieldRule],
    root: Path | None,
    labels: FolderLabels,
) -> Source:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or is_array_file(path):
        _refuse_fields(fields, path)
    else:
        _refuse_columns(columns, str(path))
    if suffix in SUFFIXES:
        return TableSource([path], folder=path.parent, columns=columns, root=root or path.parent)
    if is_array_file(path):
        return ArraySource(path.parent, with_partner(path), columns=columns)
    if suffix == ".tar":
        return WebdatasetSource(path.parent, [path], rules=fields)
    if suffix == ".zip":
        return ZipSource(path.parent, [path], folder_labels=_zip_labels([path], fields, labels), rules=fields)
    if path.name.lower().endswith(_PACKED):
        raise SourceError(
            f"{path} is packed as a whole, so no member can be read without all before it. Unpack it into a folder (or, for "
            "a tar, into a plain .tar), and point there."
        )
    raise SourceError(
        f"{path} is no source that maskloom reads: point at a folder of files, a table ({', '.join(SUFFIXES)}), arrays "
        f"({', '.join(ARRAY_SUFFIXES)}, IDX), a .zip or a .tar."
    )


def _open_folder(
    path: Path,
    columns: Sequence[ColumnRule],
    fields: Sequence[FieldRule],
    root: Path | None,
    labels: FolderLabels,
) -> Source:
    files, folders = _entries(path)
    media = [name for name in files if _is_media(name)]
    tables = [] if fields or media else _tables_of(path, files, folders)
    idx = [path / name for name in files if is_idx(path / name)]
    if idx and not fields and not media:
        return ArraySource(path, idx, columns=columns)
    if tables:
        return TableSource(tables, folder=path, columns=columns, root=root or path)
    _refuse_columns(columns, f"the folder {path}")
    tars = [path / name for name in files if name.endswith(".tar")]
    if tars:
        _require_only_tars(path, files)
        return WebdatasetSource(path, tars, rules=fields)
    zips = [path / name for name in files if name.lower().endswith(".zip")]
    if zips and not folders and not media:
        return ZipSource(path, zips, folder_labels=_zip_labels(zips, fields, labels), rules=fields)
    return FolderSource(path, folder_labels=_folder_labels(path, fields, labels), rules=fields)


def _entries(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders in a folder, in order."""
    with os.scandir(path) as listing:
        entries = sorted((entry.name, entry.is_dir()) for entry in listing if not entry.name.startswith("."))
    return [name for name, is_folder in entries if not is_folder], [name for name, is_folder in entries if is_folder]


def _is_media(name: str) -> bool:
    """Tell whether a file is media: a text or a record alone may be a note about the others."""
    field = by_extension(name)
    return field is not None and field.kind not in ("text", METADATA)


def _tables_of(path: Path, files: Sequence[str], folders: Sequence[str]) -> list[Path]:
    """Return the Parquet files of a folder, or else of its folders if each has some, as Hugging Face datasets have them."""
    here = [path / name for name in files if is_parquet(path / name)]
    below = [sorted((path / folder).glob("*.parquet")) for folder in folders]
    return here or ([table for tables in below for table in tables] if all(below) else [])


def _zip_labels(archives: Iterable[Path], fields: Sequence[FieldRule], labels: FolderLabels) -> bool:
    if labels is not FolderLabels.AUTO:
        return labels is FolderLabels.FOLDER
    if any(rule.crosses_folders for rule in fields):
        return False
    names: list[str] = []
    for path in archives:
        with open_zip(path) as archive:
            names += archive.namelist()
    return looks_like_classes(names, naming_of(fields))


def _folder_labels(path: Path, fields: Sequence[FieldRule], labels: FolderLabels) -> bool:
    if labels is not FolderLabels.AUTO:
        return labels is FolderLabels.FOLDER
    return not any(rule.crosses_folders for rule in fields) and has_class_folders(path, naming_of(fields))


def _refuse_columns(columns: Sequence[ColumnRule], where: str) -> None:
    if columns:
        raise SourceError(
            f"--column is for tables ({', '.join(SUFFIXES)}) and arrays ({', '.join(ARRAY_SUFFIXES)}), but {where} has no "
            "columns; --field NAME=SUFFIX says which files are which field."
        )


def _refuse_fields(fields: Sequence[FieldRule], path: Path) -> None:
    if fields:
        raise SourceError(f"--field is for files in folders and archives; name the columns of {path} with --column.")


def _require_only_tars(path: Path, files: Sequence[str]) -> None:
    others = [name for name in files if by_extension(name) is not None]
    if others:
        raise SourceError(
            f"{path} holds both tars and files of its own ({others[0]} and {len(others) - 1} more). Is it a folder of "
            "files, or a WebDataset? Move one kind elsewhere, or point at one .tar."
        )
