"""Arrays as a source: .npz and .npy files and MNIST's IDX files, whose rows are the items."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.items import Part, RawItem
from ingest.sources import Source
from ingest.sources.array_files import ArrayHeader, BadArrayError, is_idx, members_of, open_array, read_rows
from ingest.sources.captions import one_line
from ingest.sources.fields import kind_of_name
from ingest.sources.halves import chosen_half, half_of, halves_of
from ingest.sources.report import Rule, Understanding
from ingest.sources.roles import SAID, TEXTS, ColumnRule, require_columns
from ingest.sources.split_names import notes_on_splits, split_of
from shards.errors import SourceError
from shards.schema import is_valid_field_name

SUFFIXES = (".npz", ".npy")

_LABELS = (*SAID["label"], "labels", "y", "target", "targets")
_CLASS_NAMES = ("classes", "class_names", "label_names", "names", "categories")
_KINDS = ("image", "raster", "ids", "points")
_PICTURE_CHANNELS = (1, 3, 4)
_LEAST_SIDE = 8
_MOST_NUMBERS = 64
_MOST_COLUMN_BYTES = 1 << 30
_NEAR_ROWS = 4096
_IDX_SET = re.compile(r"(images|labels)?[-.]idx\d+-ubyte(\.gz)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Array:
    """One array: where it is, what its header says, and its name in small letters without its half (`x` of `x_train`)."""

    name: str
    path: Path
    member: str
    header: ArrayHeader
    plain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _FieldArray:
    """An array whose rows are a field."""

    array: _Array
    field: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Arrays whose rows belong together.

    Args:
        name: Name of the file, for the identities of its rows.
        rows: Number of rows.
        fields: Arrays of media.
        said: Arrays of labels, captions and the like, by role.
        columns: Arrays of numbers that are kept as metadata.
        class_names: Array of the names of the classes, if there is one.
        passed_over: Arrays that are none of these, with the reason.
    """

    name: str = ""
    rows: int = 0
    fields: tuple[_FieldArray, ...]
    said: Mapping[str, _Array]
    columns: tuple[_Array, ...]
    class_names: _Array | None = None
    passed_over: Mapping[str, str]


class ArraySource(Source):
    """Lists the rows of arrays that share their first axis.

    Args:
        root: Folder of the files.
        files: Files of arrays: one .npz or .npy file, or IDX files of images and labels.
        columns: Which array has which role, as given by the user; once one names media, no other array is media.

    Raises:
        SourceError: An array is damaged or holds objects, or a named one is not there.
    """

    def __init__(self, root: Path, files: Sequence[Path], *, columns: Sequence[ColumnRule]) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        try:
            self._sets = [_understand(name, arrays, columns) for name, arrays in _sets_of(files).items()]
        except BadArrayError as error:
            raise SourceError(f"{error}.") from error

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        first = self._sets[0]
        rules = [Rule(found=_shown(field.array), field=field.field, kind=field.kind) for field in first.fields]
        rules += [Rule(found=_shown(array), field=role) for role, array in first.said.items()]
        notes = [f"kept as metadata: {', '.join(array.name for array in first.columns)}"] if first.columns else []
        notes += [f"array '{name}' is left out: {why}" for name, why in first.passed_over.items()]
        notes += notes_on_splits(
            (found.name for found in self._sets), (array.name for array in first.columns), first.said
        )
        if first.class_names is not None:
            notes.append(f"names of the classes from array '{first.class_names.name}'")
        return Understanding(
            kind="arrays",
            place=", ".join(str(self.root / found.name) for found in self._sets),
            items="one row of every array",
            labels=f"labels from array '{first.said['label'].name}'" if "label" in first.said else "no labels",
            rules=tuple(rules),
            notes=tuple(notes),
        )

    def scan(self) -> Iterator[RawItem]:
        """List the rows in order."""
        self.ignored.clear()
        for found in self._sets:
            self.ignored.update(f"array {name}" for name in found.passed_over)
            try:
                yield from self._items(found)
            except BadArrayError as error:
                raise SourceError(f"{error}.") from error

    def _items(self, found: _Set) -> Iterator[RawItem]:
        said = {role: _values(array) for role, array in found.said.items()}
        columns = {array.name: _values(array) for array in found.columns}
        names = None if found.class_names is None else _values(found.class_names)
        modified_ns = {field.array.path: field.array.path.stat().st_mtime_ns for field in found.fields}
        for row in range(found.rows):
            own = {role: values[row] for role, values in said.items()}
            text = one_line(own.pop("text", "")).encode("utf-8", "surrogatepass")
            caption = (Part(field="text", kind="text", inline=text),) if text else ()
            split = split_of(own["split"]) if "split" in own else ""
            parts = tuple(self._part(field, row, modified_ns[field.array.path]) for field in found.fields)
            yield RawItem(
                identity=f"{found.name}#{row}",
                parts=(*parts, *caption),
                label=_label(own.get("label"), names),
                licence=str(own["licence"]) if own.get("licence") else None,
                columns={name: values[row] for name, values in columns.items()},
                near=f"{found.name}:{row // _NEAR_ROWS:012d}",
                group=str(own.get("group", "")),
                place=int(own.get("place", -1)),
                split=split if isinstance(split, str) else "",
                problem=None if isinstance(split, str) else split,
            )

    def _part(self, field: _FieldArray, row: int, modified_ns: int) -> Part:
        return Part(
            field=field.field,
            kind=field.kind,
            uri=field.array.path.relative_to(self.root).as_posix(),
            member=field.array.member,
            row=row,
            column=field.array.name,
            modified_ns=modified_ns,
        )


def is_array_file(path: Path) -> bool:
    """Tell whether a file holds arrays, by its name."""
    return path.suffix.lower() in SUFFIXES or is_idx(path)


def with_partner(path: Path) -> list[Path]:
    """Return a file of arrays with the file of labels or images that goes with it, as MNIST's do."""
    if not is_idx(path):
        return [path]
    return sorted(other for other in path.parent.iterdir() if is_idx(other) and _set_name(other) == _set_name(path))


def _set_name(path: Path) -> str:
    return _IDX_SET.sub("", path.name) if is_idx(path) else path.name


def _sets_of(files: Sequence[Path]) -> dict[str, list[_Array]]:
    sets: dict[str, list[_Array]] = {}
    for path in sorted(files):
        sets.setdefault(_set_name(path), []).extend(_arrays_of(path))
    # An identity names a file that people can find: the first one of the set.
    return {arrays[0].path.name: arrays for arrays in sets.values() if arrays}


def _arrays_of(path: Path) -> Iterator[_Array]:
    if path.suffix.lower() == ".npz":
        places = [(member.removesuffix(".npy"), member) for member in members_of(path)]
    else:
        found = _IDX_SET.search(path.name)
        places = [((found[1] or path.name) if found else path.stem, "")]
    for name, member in places:
        with open_array(path, member) as (header, _):
            yield _Array(name=name, path=path, member=member, header=header, plain=name.lower())


def _understand(name: str, arrays: Sequence[_Array], given: Sequence[ColumnRule]) -> _Set:
    """Decide what the arrays of a set are: those of the commonest length belong together."""
    require_columns(given, [array.name for array in arrays], name)
    halves = halves_of({array.name: array.header.shape[0] for array in arrays})
    half = chosen_half(halves, [rule.column for rule in given])
    whole, passed_over = _one_half(arrays, half, halves)
    lengths = Counter(array.header.shape[0] for array in whole)
    rows = halves[half] if half else max(lengths, key=lambda length: (lengths[length], length))
    others = [array for array in whole if array.header.shape[0] != rows]
    class_names = next((array for array in others if array.plain in _CLASS_NAMES and _is_flat(array)), None)
    found = _sort_out([array for array in whole if array.header.shape[0] == rows], given)
    passed_over |= {
        array.name: f"it has {array.header.shape[0]} rows where the others have {rows}"
        for array in others
        if array is not class_names
    }
    _require_read(given, passed_over, name)
    return replace(
        found, name=name, rows=rows, class_names=class_names, passed_over={**found.passed_over, **passed_over}
    )


def _one_half(arrays: Sequence[_Array], half: str, halves: Collection[str]) -> tuple[list[_Array], dict[str, str]]:
    """Return the arrays of one half with those that belong to none, and why the others are passed over."""
    whole = [array for array in arrays if half_of(array.name, halves) in ("", half)]
    passed_over = {
        array.name: f"only '{half[1:]}' is read; name an array of the other half with --column ROLE=NAME to read that one"
        for array in arrays
        if array not in whole
    }
    return [replace(array, plain=array.plain.removesuffix(half)) for array in whole], passed_over


def _require_read(given: Sequence[ColumnRule], passed_over: Mapping[str, str], where: str) -> None:
    for rule in given:
        if rule.column in passed_over:
            raise SourceError(
                f"{where}: array '{rule.column}' was asked for as {rule.role}, but {passed_over[rule.column]}."
            )


def _sort_out(arrays: Sequence[_Array], given: Sequence[ColumnRule]) -> _Set:
    """Decide what arrays of one length are: fields, labels and the like, metadata, or nothing."""
    by_array = {rule.column: rule for rule in given}
    names_media = any(rule.role not in SAID and rule.role != "text" for rule in given)
    pictures = [array for array in arrays if _is_picture(array.header)]
    fields, said, columns, passed_over = [], {}, [], {}
    for array in arrays:
        rule = by_array.get(array.name)
        role = rule.role if rule is not None else _role_by_name(array, {entry.role for entry in given})
        if role in SAID or role == "text":
            said[role] = _require_flat(array, role)
        elif rule is None and _is_column(array.header):
            columns.append(array)
        elif rule is None and names_media:
            passed_over[array.name] = "--column names other arrays"
        else:
            field = _field(array, rule, is_only_picture=pictures == [array])
            if isinstance(field, str):
                passed_over[array.name] = field
            else:
                fields.append(field)
    return _Set(fields=tuple(fields), said=said, columns=tuple(columns), passed_over=passed_over)


def _role_by_name(array: _Array, given: set[str]) -> str:
    """Return the role that the name of a one-dimensional array gives it; empty for none."""
    if not _is_flat(array):
        return ""
    name = array.plain
    if name in _LABELS and "label" not in given and array.header.dtype.kind in "iubUS":
        return "label"
    if name in TEXTS and "text" not in given and array.header.dtype.kind in "US":
        return "text"
    return next((role for role, names in SAID.items() if role != "label" and role not in given and name in names), "")


def _is_flat(array: _Array) -> bool:
    return len(array.header.shape) == 1


def _require_flat(array: _Array, role: str) -> _Array:
    if not _is_flat(array):
        raise SourceError(f"{array.path}: array '{array.name}' of shape {array.header.shape} cannot be the {role}.")
    return array


def _is_column(header: ArrayHeader) -> bool:
    """Tell whether rows are a number, a text or a few numbers, which are kept as metadata."""
    return len(header.shape) == 1 or (len(header.shape) == 2 and header.shape[1] <= _MOST_NUMBERS)


def _is_picture(header: ArrayHeader) -> bool:
    """Tell whether rows are pictures: 8-bit, grey or with 1, 3 or 4 channels first or last."""
    sides = list(header.shape[1:])
    if len(sides) == 3 and sides[-1] in _PICTURE_CHANNELS:
        sides = sides[:-1]
    elif len(sides) == 3 and sides[0] in _PICTURE_CHANNELS:
        sides = sides[1:]
    return header.dtype == np.uint8 and len(sides) == 2 and min(sides) >= _LEAST_SIDE


def _field(array: _Array, rule: ColumnRule | None, *, is_only_picture: bool) -> _FieldArray | str:
    """Return the field that the rows of an array are, or why they are none.

    Raises:
        SourceError: The user asked for it, and they are none.
    """
    is_picture = _is_picture(array.header)
    plain = "image" if is_only_picture and kind_of_name(array.plain) is None else array.plain
    name = plain if rule is None else rule.role
    kind = (rule.kind if rule is not None else None) or _kind_by_name(name, is_picture)
    reason = _why_no_field(array.header, name, kind, is_picture=is_picture)
    if reason is not None and rule is not None:
        raise SourceError(f"{array.path}: array '{array.name}' cannot be the {kind} '{name}': {reason}.")
    return reason or _FieldArray(array=array, field=name, kind=kind)


def _why_no_field(header: ArrayHeader, name: str, kind: str, *, is_picture: bool) -> str | None:
    rows = f"rows of shape {header.shape[1:]} and type {header.dtype}"
    if header.dtype.kind not in "biuf" or not 2 <= len(header.shape) <= 4:
        return f"{rows} are neither a picture nor a raster"
    if kind not in _KINDS:
        return f"arrays hold {', '.join(_KINDS)}"
    if kind == "image" and not is_picture:
        return f"{rows} are no 8-bit picture of at least {_LEAST_SIDE} x {_LEAST_SIDE}"
    return None if is_valid_field_name(name) else f"'{name}' cannot name a field; name it with --column FIELD=NAME"


def _kind_by_name(name: str, is_picture: bool) -> str:
    known = kind_of_name(name)
    if known in ("raster", "ids", "points"):
        return known
    return "image" if is_picture else "raster"


def _values(array: _Array) -> list[Any]:
    """Return the rows of a small array as plain Python values."""
    header = array.header
    if header.shape[0] * header.row_bytes > _MOST_COLUMN_BYTES:
        raise BadArrayError(f"{array.path}: array '{array.name}' has more than {_MOST_COLUMN_BYTES} bytes of metadata")
    values = (row.tolist() for _, row in read_rows(array.path, array.member, range(header.shape[0])))
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]


def _label(value: Any, names: Sequence[Any] | None) -> str | None:  # noqa: ANN401 - whatever the array holds
    if value is None or value == "":
        return None
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return str(names[value])
    return str(int(value)) if isinstance(value, bool) else str(value)


def _shown(array: _Array) -> str:
    shape = " x ".join(map(str, array.header.shape))
    return f"array '{array.name}' ({shape}, {array.header.dtype})"
