"""Manifests: csv, tsv, jsonl or parquet tables whose columns hold paths, addresses or bytes, captions, labels and more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.items import Part, RawItem
from ingest.labels import Problem
from ingest.sources import Source
from ingest.sources.addresses import printable_uri
from ingest.sources.captions import one_line
from ingest.sources.fields import kind_of_extension
from ingest.sources.locate import Locator, cut_part
from ingest.sources.nesting import MAX_NESTING, is_nested_too_deep
from ingest.sources.report import Rule, Understanding
from ingest.sources.roles import ColumnRule, FieldColumn, Roles, assign_roles, path_of
from ingest.sources.split_names import notes_on_splits, split_of
from ingest.sources.table_rows import BadRow, Cell, Row, is_parquet, read_head, read_rows
from ingest.sources.times import seconds_of
from shards.errors import SourceError
from shards.schema import RejectReason
from shards.storage import printable

_NEAR_ROWS = 1024
_MOST_SECONDS = float(1 << 32)
"""No recording is longer (136 years), and its nanoseconds fit 64 bits."""
_PLACES = range(-(1 << 63), 1 << 63)


class TableSource(Source):
    """Lists the rows of one manifest, or of several with the same columns.

    Args:
        tables: The tables, all below `folder`.
        folder: What the names of the tables, in the identities of items, are relative to.
        columns: Which column has which role, as given by the user.
        root: Folder that paths in the tables are relative to; paths that leave it are rejected.

    Raises:
        SourceError: A named column is not there, or nothing in the table looks like media or a caption.
    """

    def __init__(self, tables: Sequence[Path], *, folder: Path, columns: Sequence[ColumnRule], root: Path) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._tables = tables
        self._folder = folder
        head = read_head(tables[0])
        self._columns = head.columns
        self._delimiter = head.delimiter
        self._class_names = head.class_names
        self._roles = assign_roles(head, columns, str(tables[0]))

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        rules = [_rule(field) for field in self._roles.fields]
        rules += [Rule(found=f"column '{column}'", field=role) for role, column in self._roles.said.items()]
        others = [column for column in self._columns if column not in self._roles.taken]
        notes = [f"kept as metadata: {', '.join(map(printable, others))}"] if others else []
        names = (path.relative_to(self._folder).as_posix() for path in self._tables)
        notes += map(printable, notes_on_splits(names, others, self._roles.said))
        if self._delimiter:
            notes.append(f"cells are separated by {self._delimiter!r}, as the header shows")
        where = str(self._tables[0]) if len(self._tables) == 1 else f"{len(self._tables)} files in {self._folder}"
        label = self._roles.said.get("label")
        return Understanding(
            kind="table",
            place=where,
            items=f"one row; paths are relative to {self.root}",
            labels="no labels" if label is None else f"labels from column '{printable(label)}'",
            rules=tuple(rules),
            notes=tuple(notes),
        )

    @property
    def classes(self) -> tuple[str, ...] | None:
        """All class names in the order of their numbers, where the label's column declares them."""
        return self._class_names.get(self._roles.said.get("label", ""))

    def scan(self) -> Iterator[RawItem]:
        """List the rows in order, table by table."""
        self.ignored.clear()
        for path in self._tables:
            yield from _Table(path, self._folder, self.root, self._roles, self._class_names).items()


def _rule(field: FieldColumn) -> Rule:
    columns = " and ".join(f"'{printable(column)}'" for column in field.columns)
    found = f"column{'s' if len(field.columns) > 1 else ''} {columns}"
    return Rule(found=found, field=field.name or "media", kind=field.kind or "as the extension of each cell says")


class _Table:
    """Turns the rows of one table into items."""

    def __init__(
        self, path: Path, folder: Path, root: Path, roles: Roles, class_names: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._path = path
        self._name = path.relative_to(folder).as_posix()
        self._uri = path.absolute().as_posix() if not path.is_relative_to(root) else path.relative_to(root).as_posix()
        self._modified_ns = path.stat().st_mtime_ns
        self._roles = roles
        self._class_names = class_names
        self._locator = Locator(root)

    def items(self) -> Iterator[RawItem]:
        """Yield the rows as items."""
        if is_parquet(self._path):
            self._require_columns()
        for number, row in enumerate(read_rows(self._path)):
            yield self._bad_item(number, row) if isinstance(row, BadRow) else self._item(number, row)

    def _require_columns(self) -> None:
        head = read_head(self._path)
        missing = self._roles.taken - set(head.columns)
        if missing:
            raise SourceError(
                f"{self._path} has no column {', '.join(sorted(missing))}, unlike the first file of its folder. Tables "
                "that are ingested together have the same columns."
            )
        label = self._roles.said.get("label", "")
        if head.class_names.get(label) != self._class_names.get(label):
            raise SourceError(
                f"{self._path} declares other classes for column '{label}' than the first file of its folder, so its numbers "
                "mean something else. Ingest it by itself."
            )

    def _bad_item(self, number: int, row: BadRow) -> RawItem:
        problem = RejectReason.BAD_TEXT_ENCODING, f"{self._name}, {row.detail}"
        return RawItem(identity=f"{self._name}#{number}", parts=(), problem=problem)

    def _item(self, number: int, row: Row) -> RawItem:
        identity = f"{self._name}#{number}"
        if is_nested_too_deep(row):
            problem = RejectReason.BAD_TEXT_ENCODING, f"the row is nested more than {MAX_NESTING} deep"
            return RawItem(identity=identity, parts=(), problem=problem)
        parts: list[Part] = []
        problems: list[Problem] = []
        for field in self._roles.fields:
            made = self._text_part(number, row, field) if field.kind == "text" else self._media_part(number, row, field)
            if isinstance(made, Part):
                parts.append(made)
            elif made is not None:
                problems.append(made)
        said = {role: _value(row, column) for role, column in self._roles.said.items()}
        start_s, end_s = (_seconds(said.get(role), role, problems) for role in ("start", "end"))
        if end_s is not None and end_s <= (start_s or 0):
            detail = f"the row ends at {end_s:g} s, where it starts at {start_s or 0:g} s"
            problems.append((RejectReason.INVALID_TIME, detail))
        group, place = self._group(said, parts, start_s or 0, problems)
        bytes_in_row = any(part.row >= 0 for part in parts)
        return RawItem(
            identity=identity,
            parts=tuple(cut_part(part, start_s, end_s) for part in parts),
            label=self._label(said.get("label"), problems),
            licence=str(said["licence"]) if _is_plain(said.get("licence")) and said["licence"] != "" else None,
            columns={name: value for name, value in row.items() if name not in self._roles.taken and _is_plain(value)},
            near=f"{self._name}:{number // _NEAR_ROWS:012d}" if bytes_in_row else "",
            group=group,
            place=place,
            split=self._split(said, problems),
            problem=problems[0] if problems else None,
        )

    def _text_part(self, number: int, row: Row, field: FieldColumn) -> Part | Problem | None:
        values = [_value(row, column) for column in field.columns]
        if len(values) == 1 and isinstance(values[0], Cell):
            return self._cell_part(number, field.columns[0], field.name, "text")
        if any(isinstance(value, Cell) for value in values):
            return (
                RejectReason.AMBIGUOUS_FIELDS,
                f"captions in columns of bytes and of text: {', '.join(field.columns)}",
            )
        lines = [
            one_line(line)
            for value in values
            for line in (value if isinstance(value, list) else [value])
            if line not in (None, "")
        ]
        if not lines:
            return None
        # Cells that are not UTF-8 hold surrogates; so encoded they are no UTF-8 either, and the caption is rejected.
        return Part(field=field.name, kind="text", inline="\n".join(lines).encode("utf-8", "surrogatepass"))

    def _media_part(self, number: int, row: Row, field: FieldColumn) -> Part | Problem | None:
        value = _value(row, field.columns[0])
        if value in (None, ""):
            return None
        if isinstance(value, list | dict):
            return (
                RejectReason.AMBIGUOUS_FIELDS,
                f"column '{field.columns[0]}' holds a {type(value).__name__}, not one file",
            )
        name, kind = field.name, field.kind
        if not kind:
            name = kind = kind_of_extension(path_of(value)) or ""
            if kind not in ("image", "video", "audio", "points"):
                return RejectReason.UNKNOWN_FORMAT, f"'{printable(path_of(value))}' has no extension of any media"
        if isinstance(value, Cell):
            return self._cell_part(number, field.columns[0], name, kind, called=value.path)
        return self._locator.part(str(value), name, kind)

    def _cell_part(self, number: int, column: str, name: str, kind: str, *, called: str = "") -> Part:
        return Part(
            field=name,
            kind=kind,
            uri=self._uri,
            row=number,
            column=column,
            member=called,
            modified_ns=self._modified_ns,
        )

    def _label(self, value: Any, problems: list[Problem]) -> str | None:  # noqa: ANN401 - a table holds anything
        if isinstance(value, Cell):
            problems.append((RejectReason.INVALID_LABEL, "the label is a cell of bytes, not text or a number"))
            return None
        if value in (None, ""):
            return None
        names = self._class_names.get(self._roles.said["label"], ())
        return _class_name(value, names, problems) if names else str(value)

    def _split(self, said: Mapping[str, Any], problems: list[Problem]) -> str:
        if "split" not in said:
            return ""
        split = split_of(said["split"])
        if isinstance(split, str):
            return split
        problems.append(split)
        return ""

    def _group(
        self, said: Mapping[str, Any], parts: Sequence[Part], start_s: float, problems: list[Problem]
    ) -> tuple[str, int]:
        """Return group and place: as the table says, else pieces of one file are a group in the order of their start."""
        group = _group_name(said.get("group"), problems)
        files = (part.uri for part in parts if part.kind in ("video", "audio") and part.uri and part.row < 0)
        cut = printable_uri(next(files, ""))
        if cut and not group and not said.keys().isdisjoint(("start", "end")):
            return cut, round(start_s * 1000)
        return group, _place(said.get("place"), problems)


def _value(row: Row, column: str) -> Any:  # noqa: ANN401 - a table holds anything
    value = row.get(column)
    return None if isinstance(value, float) and math.isnan(value) else value


def _seconds(value: Any, role: str, problems: list[Problem]) -> float | None:  # noqa: ANN401 - a table holds anything
    if value in (None, ""):
        return None
    seconds = seconds_of(value)
    if not 0 <= seconds <= _MOST_SECONDS:
        problems.append((RejectReason.INVALID_TIME, f"{role} {value!r} is no time in seconds from the beginning"))
        return None
    return seconds


def _class_name(value: Any, names: Sequence[str], problems: list[Problem]) -> str | None:  # noqa: ANN401 - as above
    """Return the declared name of a class's number; -1 stands for none."""
    if value == -1 or value in names:
        return None if value == -1 else str(value)
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    problems.append((RejectReason.INVALID_LABEL, f"{value!r} is none of the {len(names)} classes that are declared"))
    return None


def _group_name(value: Any, problems: list[Problem]) -> str:  # noqa: ANN401 - a table holds anything
    if value in (None, ""):
        return ""
    name = str(value)
    try:
        name.encode("utf-8", "surrogateescape")  # names of files need not be UTF-8, and are kept
    except UnicodeEncodeError:
        problems.append((RejectReason.INVALID_LABEL, f"the group {name!r} is no text"))
        return ""
    return name


def _place(value: Any, problems: list[Problem]) -> int:  # noqa: ANN401 - a table holds anything
    try:
        place = int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
    if place not in _PLACES:
        problems.append((RejectReason.INVALID_LABEL, f"the place {value!r} is no number of 64 bits"))
        return -1
    return place


def _is_plain(value: object) -> bool:
    return value is not None and not isinstance(value, Cell | bytes)
