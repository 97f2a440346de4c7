"""A manifest: a csv, tsv, jsonl or parquet table whose columns hold paths or bytes, captions, labels and anything else."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.items import Part, RawItem
from shards.errors import SourceError, did_you_mean
from shards.schema import RejectReason

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

_BATCH_ROWS = 256

KNOWN_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "image_path", "img", "path", "file", "file_name", "filename", "filepath", "jpg", "png"),
    "text": ("text", "caption", "captions", "txt", "sentence", "sentences", "description"),
    "label": ("label", "class", "category", "cls", "class_name"),
    "licence": ("licence", "license"),
}
"""Columns that are understood without being named, by what they are taken for; the first that is there counts."""


class TableSource:
    """Lists the rows of a manifest.

    Args:
        path: The table.
        columns: Which column holds which role (`image`, `text`, `label`, `licence`), as given by the user.
        root: Folder that paths in the table are relative to; paths that leave it are rejected.

    Raises:
        SourceError: A named column is not there, or nothing in the table looks like an image or a text.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, str], root: Path) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._path = path
        self._uri = os.path.relpath(path, root)
        self._modified_ns = path.stat().st_mtime_ns
        header = _header(path)
        self._roles = _assign_roles(path, header, columns)

    def describe(self) -> str:
        """Say in one sentence how the input was understood."""
        roles = ", ".join(f"{role} from column '{column}'" for role, column in self._roles.items())
        return f"table {self._path}: {roles}; other columns are kept as metadata; paths are relative to {self.root}"

    def scan(self) -> Iterator[RawItem]:
        """List the rows in order."""
        for number, row in enumerate(_rows(self._path)):
            yield self._item(number, row)

    def _item(self, number: int, row: Mapping[str, Any]) -> RawItem:
        taken = set(self._roles.values())
        image, text = self._cell(row, "image"), self._cell(row, "text")
        image_part, problem = self._image_part(number, image)
        parts = [image_part] if image_part is not None else []
        if isinstance(text, _Cell):
            parts.append(self._cell_part("text", number, text))
        elif text not in (None, "", []):
            lines = text if isinstance(text, list) else [text]
            # Cells that are not UTF-8 hold surrogates; so encoded they are no UTF-8 either, and the caption is rejected.
            parts.append(
                Part(field="text", inline="\n".join(str(line) for line in lines).encode("utf-8", "surrogatepass"))
            )
        label, licence = (self._cell(row, role) for role in ("label", "licence"))
        if isinstance(label, _Cell):
            label, problem = None, (RejectReason.INVALID_LABEL, "the label is a cell of bytes, not text or a number")
        return RawItem(
            identity=f"{self._path.name}#{number}",
            parts=tuple(parts),
            label=None if label in (None, "") else str(label),
            licence=str(licence) if _is_plain(licence) and licence != "" else None,
            columns={name: value for name, value in row.items() if name not in taken and _is_plain(value)},
            group=f"{number // 1024:012d}" if isinstance(image, _Cell) else "",
            problem=problem,
        )

    def _cell(self, row: Mapping[str, Any], role: str) -> Any:  # noqa: ANN401 - a table holds anything
        column = self._roles.get(role)
        value = None if column is None else row.get(column)
        return None if isinstance(value, float) and math.isnan(value) else value

    def _image_part(self, number: int, value: Any) -> tuple[Part | None, tuple[RejectReason, str] | None]:  # noqa: ANN401
        if isinstance(value, _Cell):
            return self._cell_part("image", number, value), None
        if value in (None, ""):
            return None, None
        return self._file_part(str(value))

    def _cell_part(self, role: str, number: int, cell: _Cell) -> Part:
        return Part(
            field=role,
            uri=self._uri,
            row=number,
            column=self._roles[role],
            size=cell.size,
            modified_ns=self._modified_ns,
        )

    def _file_part(self, written: str) -> tuple[Part | None, tuple[RejectReason, str] | None]:
        path, root = self.root / written, self.root.resolve()
        try:
            resolved = path.resolve()
            status = path.stat() if resolved.is_relative_to(root) else None
        except (FileNotFoundError, NotADirectoryError):
            return None, (RejectReason.MISSING_FILE, f"'{written}' is not there (looked for {path})")
        except (OSError, ValueError, RuntimeError) as error:  # no path at all, too long, or links in a circle
            return None, (RejectReason.UNREADABLE_FILE, f"'{written}': {error}")
        if status is None:
            hint = "; name a wider --root to allow it" if Path(written).is_absolute() else ""
            return None, (RejectReason.OUTSIDE_ROOT, f"'{written}' lies outside {self.root}{hint}")
        uri = resolved.relative_to(root).as_posix()
        part = Part(field="image", uri=uri, size=status.st_size, modified_ns=status.st_mtime_ns)
        return part, None


class _Cell:
    """Stands for bytes in a Parquet cell that are left where they are until the shard is written."""

    def __init__(self, size: int) -> None:
        self.size = size


def _is_plain(value: object) -> bool:
    return value is not None and not isinstance(value, (_Cell, bytes))


def _assign_roles(path: Path, header: list[str], given: Mapping[str, str]) -> dict[str, str]:
    for role, column in given.items():
        if role not in KNOWN_COLUMNS:
            raise SourceError(
                f"--column {role}={column}: roles are {', '.join(KNOWN_COLUMNS)}.{did_you_mean(role, KNOWN_COLUMNS)}"
            )
        if column not in header:
            raise SourceError(
                f"Column '{column}' was asked for as {role}, but {path} has only {', '.join(header)}."
                f"{did_you_mean(column, header)}"
            )
    roles = dict(given)
    by_lower = {name.lower(): name for name in reversed(header)}
    for role, names in KNOWN_COLUMNS.items():
        found = next((by_lower[name] for name in names if name in by_lower), None)
        if role not in roles and found is not None and found not in roles.values():
            roles[role] = found
    if "image" not in roles and "text" not in roles:
        options = [name for role in ("image", "text") for name in KNOWN_COLUMNS[role]]
        raise SourceError(
            f"No column of {path} looks like an image or a text: it has {', '.join(header)}. "
            f"Name one with --column image=NAME.{''.join(did_you_mean(name, options) for name in header[:1])}"
        )
    return roles


def _header(path: Path) -> list[str]:
    try:
        if _suffix(path) == ".parquet":
            return list(pq.read_schema(path).names)
        if _suffix(path) in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                return next(csv.reader(file, delimiter=_delimiter(path)), [])
        return list(dict.fromkeys(name for row in _first(_rows(path), 100) for name in row))
    except (OSError, pa.ArrowException, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as a {path.suffix[1:]} table: {error}.") from error


def _first(rows: Iterator[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    yield from (row for _, row in zip(range(count), rows, strict=False))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if _suffix(path) == ".parquet":
        return _parquet_rows(path)
    if _suffix(path) in (".csv", ".tsv"):
        return _delimited_rows(path)
    return _json_rows(path)


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _delimiter(path: Path) -> str:
    return "\t" if _suffix(path) == ".tsv" else ","


def _delimited_rows(path: Path) -> Iterator[dict[str, Any]]:
    # Undecodable bytes are kept as surrogates: the caption they belong to is rejected, not the table.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            reader = csv.DictReader(file, delimiter=_delimiter(path))
            for row in reader:
                if None in row:
                    raise SourceError(
                        f"{path}, line {reader.line_num}: the row has more cells than the header: {row[None]}. "
                        f"Quote cells with '{_delimiter(path)}'."
                    )
                yield row
        except csv.Error as error:
            raise SourceError(f"{path} is not a sound table: {error}.") from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}, line {number}, is not JSON: {error}.") from error
            if not isinstance(row, dict):
                raise SourceError(f"{path}, line {number}, should be a JSON object, but is {type(row).__name__}.")
            yield row


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; binary cells are replaced by their size.

    The layout of Hugging Face datasets, a struct of `bytes` and `path`, counts as bytes.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                columns = {name: _light_column(batch.column(name)) for name in batch.schema.names}
                yield from (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path} is damaged: {error}.") from error


def _light_column(column: pa.Array) -> list[Any]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = column.field("bytes")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [None if size is None else _Cell(size) for size in pc.binary_length(column).to_pylist()]
    return list(column.to_pylist())


def read_cells(path: Path, column: str, rows: list[int]) -> dict[int, bytes | None]:
    """Read binary cells of a Parquet file, each row group at most once.

    Args:
        path: The Parquet file.
        column: Its column of bytes, or of structs with a member `bytes`.
        rows: Row numbers, in any order.
    """
    wanted = set(rows)
    cells: dict[int, bytes | None] = {}
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if any(start <= row < end for row in rows):
                cells |= _group_cells(file, group, column, first=start, wanted=wanted)
            start = end
    return cells


def _group_cells(
    file: pq.ParquetFile, group: int, column: str, *, first: int, wanted: set[int]
) -> dict[int, bytes | None]:
    """Read the wanted cells of one row group, a small batch at a time."""
    cells: dict[int, bytes | None] = {}
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=[column]):
        values = batch.column(0)
        values = values.field("bytes") if pa.types.is_struct(values.type) else values
        cells |= {first + place: values[place].as_py() for place in range(len(values)) if first + place in wanted}
        first += len(values)
    return cells
