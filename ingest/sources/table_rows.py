"""Rows of csv, tsv, jsonl and Parquet tables; bytes in Parquet cells are left where they are."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.errors import SourceError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

Row = Mapping[str, Any]

_BATCH_ROWS = 1024
_BYTES_ROWS = 16
_PEEKED_ROWS = 100
_DELIMITERS = (",", ";", "\t", "|")
_MOST_HEADER = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Stands for bytes in a Parquet cell that are left where they are until the shard is written.

    Args:
        path: What the table says the bytes were called, as in Hugging Face datasets; empty if it does not.
    """

    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """Stands for a row that cannot be read.

    Args:
        detail: What is wrong with it, with its line.
    """

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known about a table before it is listed.

    Args:
        columns: Names of its columns, in order.
        rows: Its first rows.
        class_names: Names of the classes of columns that hold their numbers, as Hugging Face datasets record them.
        media: Kinds of columns (image, audio, video) that Hugging Face datasets record.
        delimiter: What separates the cells, where it is not what the suffix says; else empty.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    class_names: Mapping[str, tuple[str, ...]]
    media: Mapping[str, str]
    delimiter: str = ""


def is_parquet(path: Path) -> bool:
    """Tell whether a table is a Parquet file."""
    return path.suffix.lower() == ".parquet"


def read_head(path: Path) -> Head:
    """Look at a table.

    Raises:
        SourceError: It cannot be read as what its suffix says, none of its first rows can, or two columns share a name.
    """
    try:
        peeked = tuple(islice(read_rows(path), _PEEKED_ROWS))
        rows = tuple(row for row in peeked if not isinstance(row, BadRow))
        if peeked and isinstance(peeked[0], BadRow) and not rows:
            raise SourceError(f"{path}, {peeked[0].detail}. No row before it, and none of the next ones, can be read.")
        if is_parquet(path):
            schema = pq.read_schema(path)
            _require_different(path, schema.names)
            features = _features(schema)
            return Head(
                columns=tuple(schema.names), rows=rows, class_names=_class_names(features), media=_media(features)
            )
        columns = tuple(dict.fromkeys(name for row in rows for name in row)) or _header(path)
        delimiter = "" if _is_json(path) or _delimiter(path) == _usual_delimiter(path) else _delimiter(path)
    except (OSError, pa.ArrowException, csv.Error, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a {path.suffix[1:]} table: {error}.") from error
    return Head(columns=columns, rows=rows, class_names={}, media={}, delimiter=delimiter)


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """Yield the rows of a table in order, those that cannot be read as BadRow.

    Raises:
        SourceError: It is damaged as a whole, or two columns share a name.
    """
    if is_parquet(path):
        return _parquet_rows(path)
    return _json_rows(path) if _is_json(path) else _delimited_rows(path)


def _is_json(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _require_different(path: Path, columns: Iterable[str]) -> None:
    twice = next((name for name, count in Counter(columns).items() if count > 1 and name), None)
    if twice is not None:
        raise SourceError(
            f"{path} has several columns called '{twice}', and only one could be read. Rename the others."
        )


def _header(path: Path) -> tuple[str, ...]:
    """Return the header of a table without rows."""
    if _is_json(path):
        return ()
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return tuple(next(csv.reader(file, delimiter=_delimiter(path)), []))


def _usual_delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _delimiter(path: Path) -> str:
    """Return what separates the cells: as the suffix says, unless the header has one column so, and more otherwise."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline(_MOST_HEADER)
    usual = _usual_delimiter(path)
    candidates = (usual, *(delimiter for delimiter in _DELIMITERS if delimiter != usual))
    return next((delimiter for delimiter in candidates if _cells_of(header, delimiter) > 1), usual)


def _cells_of(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter), []))


def _delimited_rows(path: Path) -> Iterator[Row | BadRow]:
    # Undecodable bytes are kept as surrogates: the caption they belong to is rejected, not the table.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            delimiter = _delimiter(path)
            reader = csv.DictReader(file, delimiter=delimiter)
            _require_different(path, reader.fieldnames or ())
            for row in reader:
                yield _too_many_cells(reader.line_num, row, delimiter) if None in row else row
        except csv.Error as error:
            raise SourceError(f"{path} is not a sound table: {error}.") from error


def _too_many_cells(line: int, row: Mapping[str | None, Any], delimiter: str) -> BadRow:
    return BadRow(
        detail=f"line {line} has more cells than the header: {row[None]}; a cell with '{delimiter}' in it stands in quotes"
    )


def _json_rows(path: Path) -> Iterator[Row | BadRow]:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_row(number, line)


def _json_row(number: int, line: str) -> Row | BadRow:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(detail=f"line {number} is not JSON: {error}")
    return row if isinstance(row, dict) else BadRow(detail=f"line {number} is {type(row).__name__}, not a JSON object")


def _parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file; cells of bytes, and structs of `bytes` and `path`, become Cells unread."""
    try:
        with pq.ParquetFile(path) as file:
            heavy = {field.name: leaf for field in file.schema_arrow if (leaf := _bytes_leaf(field)) is not None}
            for group in range(file.num_row_groups):
                yield from _group_rows(file, group, heavy)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise SourceError(f"{path} is damaged: {error}.") from error


def _bytes_leaf(field: pa.Field) -> str | None:
    """Return the path of the column of bytes that a field is or holds, or None."""
    if _is_binary(field.type):
        return str(field.name)
    if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
        return f"{field.name}.bytes" if _is_binary(field.type.field("bytes").type) else None
    return None


def _is_binary(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))


def _group_rows(file: pq.ParquetFile, group: int, heavy: Mapping[str, str]) -> Iterator[Row]:
    names = file.schema_arrow.names
    light = [name for name in names if name not in heavy]
    paths = [f"{name}.path" for name, leaf in heavy.items() if leaf != name and _has_leaf(file, f"{name}.path")]
    rows = file.metadata.row_group(group).num_rows
    present = {name: _present(file, group, leaf) for name, leaf in heavy.items()}
    for cells in _light_rows(file, group, [*light, *paths], rows):
        row: dict[str, Any] = {}
        for name in names:
            if name not in heavy:
                row[name] = cells[name]
                continue
            said = cells.get(name)
            path = str(said.get("path") or "") if isinstance(said, dict) else ""
            row[name] = Cell(path=path) if next(present[name]) else path or None
        yield row


def _light_rows(file: pq.ParquetFile, group: int, columns: list[str], rows: int) -> Iterator[dict[str, Any]]:
    if not columns:
        yield from ({} for _ in range(rows))
        return
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=columns):
        values = [column.to_pylist() for column in batch.columns]
        yield from (dict(zip(batch.schema.names, cells, strict=True)) for cells in zip(*values, strict=True))


def _present(file: pq.ParquetFile, group: int, leaf: str) -> Iterator[bool]:
    """Yield for every row of a row group whether it has bytes; they are read only where the file does not say."""
    metadata = file.metadata.row_group(group)
    chunk = metadata.column(_leaf_number(file, leaf))
    missing = chunk.statistics.null_count if chunk.is_stats_set and chunk.statistics.has_null_count else None
    if missing in (0, metadata.num_rows):
        yield from (missing == 0 for _ in range(metadata.num_rows))
        return
    for batch in file.iter_batches(batch_size=_BYTES_ROWS, row_groups=[group], columns=[leaf]):
        values = batch.column(0)
        yield from pc.is_valid(values.field("bytes") if pa.types.is_struct(values.type) else values).to_pylist()


def _leaf_number(file: pq.ParquetFile, path: str) -> int:
    schema = file.metadata.schema
    return next(number for number in range(file.metadata.num_columns) if schema.column(number).path == path)


def _has_leaf(file: pq.ParquetFile, path: str) -> bool:
    schema = file.metadata.schema
    return any(schema.column(number).path == path for number in range(file.metadata.num_columns))


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """Return what Hugging Face datasets say about the columns; nothing where they did not write the file."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return (
        {name: said for name, said in features.items() if isinstance(said, dict)} if isinstance(features, dict) else {}
    )


def _class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {
        column: tuple(map(str, said["names"]))
        for column, said in features.items()
        if said.get("_type") == "ClassLabel" and isinstance(said.get("names"), list)
    }


def _media(features: Mapping[str, Any]) -> dict[str, str]:
    kinds = {"Image": "image", "Audio": "audio", "Video": "video"}
    return {column: kinds[said["_type"]] for column, said in features.items() if said.get("_type") in kinds}
