"""What the columns of a table, the entries of a sidecar and the arrays of a file are taken for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.sources.addresses import is_address
from ingest.sources.fields import (
    KINDS_OF_FILES,
    extension_of,
    kind_of,
    kind_of_extension,
    kind_of_name,
    require_field_name,
    split_assignment,
)
from ingest.sources.table_rows import Cell, Head
from shards.errors import SettingsError, SourceError, did_you_mean

SAID: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "class", "category", "cls", "class_name"),
    "licence": ("licence", "license"),
    "group": ("group",),
    "place": ("place",),
    "start": ("start", "start_s", "start_seconds", "start_time"),
    "end": ("end", "end_s", "end_seconds", "end_time"),
    "split": (),
}
"""Roles that say something about an item, with the columns that are taken for them without being named; none for a split."""

TEXTS = ("text", "caption", "captions", "txt", "sentence", "sentences", "description")
MEDIA: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "image_path", "image_url", "img", "img_path", "rgb", "jpg", "png"),
    "video": ("video", "video_path", "video_url", "clip", "mp4"),
    "audio": ("audio", "audio_path", "audio_url", "sound", "speech", "wav", "flac", "mp3"),
    "points": ("points", "points_path", "point_cloud", "pointcloud", "lidar", "mesh", "ply", "pcd"),
    "depth": ("depth", "depth_path", "depth_mm"),
    "disparity": ("disparity", "disparity_path"),
    "segmentation": ("segmentation", "segmentation_path", "seg", "seg_path"),
    "mask": ("mask", "mask_path"),
    "left": ("left", "left_path", "left_image"),
    "right": ("right", "right_path", "right_image"),
}
"""Fields, with the columns that are taken for them without being named; the first that is there counts."""

FILES = ("path", "file", "file_name", "filename", "filepath", "file_path", "url", "uri")
"""Columns of files of any kind: where no other column holds media, the extension of each cell decides."""

ROLES = (*SAID, "text", *MEDIA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """One rule of the user: a column has a role.

    Args:
        role: One of SAID, `text`, or the name of any field.
        kind: Kind of the field; None where its name or the cells tell.
        column: Name of the column.
    """

    role: str
    kind: str | None
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumn:
    """A column of media, or columns of captions.

    Args:
        name: Name of the field; empty where the extension of each cell decides.
        kind: Its kind; empty where the extension of each cell decides.
        columns: The columns; several only for captions.
    """

    name: str
    kind: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What each column of a table is taken for; what is not named here is kept as metadata.

    Args:
        fields: Columns of media and captions.
        said: The other roles, with their columns.
    """

    fields: tuple[FieldColumn, ...]
    said: Mapping[str, str]

    @property
    def taken(self) -> frozenset[str]:
        """Columns that are no metadata."""
        return frozenset(self.said.values()) | {column for field in self.fields for column in field.columns}


def parse_column_rule(text: str) -> ColumnRule:
    """Read `ROLE[:KIND]=COLUMN`, as in `image=file_name` or `tts:audio=spoken`.

    Raises:
        SettingsError: It is not of that form, or the role is none.
    """
    role, kind, column = split_assignment("--column", text, what="COLUMN", example="image=file_name")
    if role == "license":
        raise SettingsError(f"--column {text}: write --column licence={column}.")
    if role in SAID:
        if kind is not None:
            raise SettingsError(f"--column {text}: the role '{role}' has no kind; write --column {role}={column}.")
    else:
        require_field_name("--column", text, role)
    if kind in ("label", "metadata") or role == "metadata":
        raise SettingsError(
            f"--column {text}: labels are --column label=COLUMN; columns without a role become metadata."
        )
    return ColumnRule(role=role, kind=kind, column=column)


def require_columns(rules: Iterable[ColumnRule], columns: Collection[str], where: str) -> None:
    """Check that all columns are there that the user named, and that no role is given twice.

    Raises:
        SourceError: One is not there, or two columns claim a role that can have one.
    """
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.column not in columns:
            raise SourceError(
                f"Column '{rule.column}' was asked for as {rule.role}, but {where} has only {', '.join(columns)}."
                f"{did_you_mean(rule.column, columns)}"
            )
        if rule.role in seen and not _is_text(rule):
            raise SourceError(
                f"--column {rule.role}={rule.column}: '{seen[rule.role]}' is {rule.role} already; only captions can come from "
                "several columns."
            )
        seen[rule.role] = rule.column


def _is_text(rule: ColumnRule) -> bool:
    return rule.role == "text" or rule.kind == "text"


def assign_roles(head: Head, given: Sequence[ColumnRule], where: str) -> Roles:
    """Decide what the columns of a table are taken for: as the user says, else by name and by what the cells look like.

    Args:
        head: Columns and first rows.
        given: The rules of the user.
        where: Name of the table, for messages.

    Raises:
        SourceError: A named column is not there, or nothing in the table looks like media or a caption.
    """
    require_columns(given, head.columns, where)
    fields = _given_fields(head, given)
    said = {rule.role: rule.column for rule in given if rule.role in SAID}
    taken = {rule.column for rule in given}
    by_lower = {name.lower(): name for name in reversed(head.columns) if name not in taken}
    if not any(field.kind != "text" for field in fields):
        fields += _media_by_name(head, by_lower) or _media_by_feature(head, taken) or _files_by_name(head, by_lower)
    if not any(field.kind == "text" for field in fields):
        fields += _texts_by_name(by_lower, {column for field in fields for column in field.columns})
    if not fields:
        raise SourceError(_nothing_found(head, where))
    used = {column for field in fields for column in field.columns}
    for role, names in SAID.items():
        found = next((by_lower[name] for name in names if name in by_lower and by_lower[name] not in used), None)
        if role not in said and found is not None and _is_usable(role, fields):
            said[role] = found
    return Roles(fields=tuple(fields), said=said)


def _is_usable(role: str, fields: Iterable[FieldColumn]) -> bool:
    """Tell whether a role that was not asked for makes sense: times, only where something can be cut."""
    return role not in ("start", "end") or any(field.kind in ("video", "audio", "") for field in fields)


def _given_fields(head: Head, given: Sequence[ColumnRule]) -> list[FieldColumn]:
    texts: dict[str, list[str]] = {}
    fields = []
    for rule in given:
        if _is_text(rule):
            texts.setdefault(rule.role, []).append(rule.column)
        elif rule.role not in SAID:
            kind = rule.kind or _kind_of_cells(rule.role, rule.column, head)
            fields.append(FieldColumn(name=rule.role, kind=kind, columns=(rule.column,)))
    return fields + [FieldColumn(name=name, kind="text", columns=tuple(columns)) for name, columns in texts.items()]


def _kind_of_cells(name: str, column: str, head: Head) -> str:
    """Return the kind of a field by its name and by the first cells that give one away."""
    for value in _cells(head, column):
        kind = kind_of(name, extension_of(path_of(value)))
        if kind is not None:
            return kind
    kind = kind_of_name(name) or head.media.get(column)
    if kind is None:
        raise SettingsError(
            f"--column {name}={column}: neither the name nor the first cells say what the column holds. Write "
            f"--column {name}:KIND={column}; kinds are {', '.join(KINDS_OF_FILES[:-1])}."
        )
    return kind


def _media_by_name(head: Head, by_lower: Mapping[str, str]) -> list[FieldColumn]:
    fields = []
    for name, known in MEDIA.items():
        found = next((by_lower[word] for word in known if word in by_lower), None)
        if found is not None and _looks_like_media(head, found):
            kind = _kind_of_cells(name, found, head)
            fields.append(FieldColumn(name=name, kind=kind, columns=(found,)))
    return fields


def _media_by_feature(head: Head, taken: Collection[str]) -> list[FieldColumn]:
    """Take the first column of each kind that Hugging Face datasets declare."""
    found = {kind: column for column, kind in reversed(list(head.media.items())) if column not in taken}
    return [FieldColumn(name=kind, kind=kind, columns=(column,)) for kind, column in sorted(found.items())]


def _files_by_name(head: Head, by_lower: Mapping[str, str]) -> list[FieldColumn]:
    found = next((by_lower[word] for word in FILES if word in by_lower), None)
    if found is None or not _looks_like_media(head, found):
        return []
    return [FieldColumn(name="", kind="", columns=(found,))]


def _texts_by_name(by_lower: Mapping[str, str], taken: Collection[str]) -> list[FieldColumn]:
    found = next((by_lower[word] for word in TEXTS if word in by_lower and by_lower[word] not in taken), None)
    return [] if found is None else [FieldColumn(name="text", kind="text", columns=(found,))]


def _looks_like_media(head: Head, column: str) -> bool:
    """Tell whether cells hold bytes, addresses or files; a column of empty cells is believed by its name."""
    values = list(_cells(head, column))
    return not values or any(
        isinstance(value, Cell) or is_address(path_of(value)) or kind_of_extension(path_of(value)) or _is_array(value)
        for value in values
    )


def _is_array(value: object) -> bool:
    return extension_of(path_of(value)) == "npy"


def _cells(head: Head, column: str) -> Iterable[Any]:
    return [value for row in head.rows if (value := row.get(column)) not in (None, "")]


def path_of(value: object) -> str:
    """Return the path or the address that a cell holds, without query; empty for anything else."""
    if isinstance(value, Cell):
        return value.path
    if not isinstance(value, str):
        return ""
    return value.partition("?")[0].partition("#")[0] if is_address(value) else value


def _nothing_found(head: Head, where: str) -> str:
    options = [*FILES, *TEXTS, *(name for names in MEDIA.values() for name in names)]
    return (
        f"No column of {where} looks like an image or a text, or any other media: it has {', '.join(head.columns)}. "
        f"Name one with --column image=NAME.{''.join(did_you_mean(name, options) for name in head.columns[:1])}"
    )
