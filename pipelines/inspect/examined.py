"""What the index says about samples from all over a dataset, read in one pass and without touching a tar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shards.dataset import Dataset
from shards.errors import CorruptShardError
from shards.index import ArrowTable
from shards.schema import BLOCK, KINDS, LABEL, in_order

MAX_EXAMINED = 10_000
"""Samples that distributions are taken from, spread evenly; all of them in smaller datasets."""
_NOT_MEASURES = frozenset({"phash", "start"})
"""Facts that are numbers, but of which nobody wants to see the distribution."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the index knows about samples from all over a dataset.

    Args:
        num_samples: How many samples were looked at.
        num_unreadable: How many more were meant to be, but stand in an index that cannot be read.
        measures: Numbers by column (`image.width`, `audio.seconds`, `text.size` in bytes, and `image.aspect`, the longer
            side over the shorter), of the samples that have the field, in the order of the kinds; without empty columns.
        labels: How often each label number occurs; -1 for samples without one. Empty where no sample has a label.
        groups: How many of the samples belong to each group; `""` for those that belong to none.
    """

    num_samples: int
    num_unreadable: int
    measures: Mapping[str, Floats]
    labels: Counter[int]
    groups: Counter[str]

    def spreads(self) -> dict[str, Spread]:
        """Return how each measure is spread."""
        return {name: Spread.of(values) for name, values in self.measures.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Smallest, 5th percentile, median, 95th percentile and largest of a measure."""

    least: float
    low: float
    median: float
    high: float
    most: float

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Spread:
        """Summarise values."""
        least, low, median, high, most = np.percentile(values, [0, 5, 50, 95, 100]).tolist()
        return cls(least=least, low=low, median=median, high=high, most=most)


def examined_ids(dataset: Dataset, count: int = MAX_EXAMINED) -> npt.NDArray[np.int64]:
    """Return up to `count` sample numbers, spread evenly over the dataset."""
    return np.unique(np.linspace(0, dataset.num_samples - 1, min(count, dataset.num_samples)).astype(np.int64))


def examine(dataset: Dataset) -> Examined:
    """Read what the index says about up to 10,000 samples, spread evenly over the dataset."""
    fields = in_order(dataset.manifest.kinds.items())
    measured = {
        name: [f"{name}.{fact}" for fact in _measures(kind)] for name, kind in fields.items() if kind != "label"
    }
    names = [*dict.fromkeys(column for columns in measured.values() for column in columns), "group"]
    names += [LABEL] if LABEL in fields else []
    ids = examined_ids(dataset)
    rows = list(_rows(dataset, ids, names))
    values = dict(zip(names, zip(*rows, strict=True) if rows else ((),) * len(names), strict=True))
    return Examined(
        num_samples=len(rows),
        num_unreadable=len(ids) - len(rows),
        measures=_cleaned(values, measured),
        labels=Counter(values.get(LABEL, ())),
        groups=Counter(values["group"]),
    )


def _measures(kind: str) -> list[str]:
    """Return the facts of a kind that are plain numbers, the size in bytes among them."""
    facts = KINDS[kind].facts.items()
    is_number = [fact for fact, data_type in facts if pa.types.is_integer(data_type) or pa.types.is_floating(data_type)]
    return [*(fact for fact in is_number if fact not in _NOT_MEASURES), "size"]


def _rows(dataset: Dataset, ids: npt.NDArray[np.int64], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the named columns of samples, shard by shard; samples of an index that cannot be read are passed over."""
    shards, places = dataset.locate(ids)
    wanted = sorted(zip(shards.tolist(), places.tolist(), strict=True))
    for shard, located in groupby(wanted, key=lambda pair: pair[0]):
        rows = [place for _, place in located]
        try:
            yield from _shard_rows(ArrowTable(dataset.shard_paths(shard)[1]), rows, names)
        except (CorruptShardError, KeyError, IndexError, pa.ArrowException):
            continue


def _shard_rows(table: ArrowTable, places: Sequence[int], names: Sequence[str]) -> list[tuple[Any, ...]]:
    rows = []
    for block, inside in groupby(places, key=lambda place: place // BLOCK):
        batch = table.block(block)
        columns = [_column(batch, name) for name in names]
        rows += [tuple(column[place % BLOCK].as_py() for column in columns) for place in inside]
    return rows


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column; of a fact that was added after the index was written, nulls.

    Raises:
        KeyError: Any other column is missing.
    """
    is_fact = "." in name and not name.endswith(".size")
    return pa.nulls(len(batch)) if is_fact and name not in batch.schema.names else batch.column(name)


def _cleaned(values: Mapping[str, Sequence[Any]], measured: Mapping[str, Sequence[str]]) -> dict[str, Floats]:
    """Return the measures of the samples that have a field, as numbers; facts that nobody knows are left out."""
    known: dict[str, Floats] = {}
    for field, columns in measured.items():
        has_field = np.array(values[f"{field}.size"], dtype=np.int64) >= 0
        for column in columns:
            known[column] = np.where(has_field, _numbers(values[column]), np.nan)
            if column == f"{field}.height":
                sides = np.stack([known[f"{field}.width"], known[column]])
                known[f"{field}.aspect"] = sides.max(axis=0) / np.maximum(sides.min(axis=0), 1)
    finite = {column: numbers[np.isfinite(numbers)] for column, numbers in known.items()}
    return {column: numbers for column, numbers in finite.items() if len(numbers)}


def _numbers(values: Sequence[Any]) -> Floats:
    """Return facts as numbers, NaN where one is unknown: null or, among whole numbers, which are never negative, -1."""
    is_whole = all(value is None or isinstance(value, int) for value in values)
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.where(is_whole & (numbers < 0), np.nan, numbers)


def class_name(classes: Sequence[str] | None, label: int) -> str:
    """Return the name of a label: the class, the number where classes have no names, `none` for -1."""
    if label < 0:
        return "none"
    return classes[label] if classes is not None and label < len(classes) else str(label)
