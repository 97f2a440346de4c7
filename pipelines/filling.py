"""Filling: a batch that is being made. Rows are filled in, and those of damaged samples filled again with others."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.component import ComponentReader
from pipelines.damage import DamagedSample, Fits
from pipelines.encoded import EncodedPicture
from pipelines.example import Example
from pipelines.permutation import Int64s
from pipelines.visits import Visits
from shards.errors import CorruptShardError, Damage

if TYPE_CHECKING:
    from pipelines.reader import BatchReader

Failure = tuple[int, CorruptShardError]
"""A row that cannot be filled, and why."""


class Filling:
    """The rows of a batch, before they are masked.

    Args:
        reader: What the batch is made of.
        visits: The samples that are wanted.
        step: The batch, for the record of damage.
    """

    def __init__(self, reader: "BatchReader", visits: Visits, *, step: int) -> None:
        self.visits = replace(visits, ids=visits.ids.copy())
        self.keys = [""] * len(visits)
        self.labels = np.full(len(visits), -1, np.int64)
        self.inputs, self.lengths, self.stored = reader.allocate(len(visits))
        self.encoded: dict[str, list[EncodedPicture | None]] = {name: [None] * len(visits) for name in reader.encoded}
        self.damage: list[DamagedSample] = []
        self._numbers = np.zeros((len(visits), len(reader.looks)), np.int64)
        self._wanted = visits.ids
        self._reader = reader
        self._step = step

    def fill(self) -> "Filling":
        """Fill all rows, those of damaged samples with others if the policy allows it, and return this.

        Raises:
            CorruptShardError: A sample is damaged and not to be replaced.
        """
        rows, attempt = np.arange(len(self.visits)), 0
        while rows.size:
            failed = list(self._attempt(rows))
            for row, error in failed:
                self._replace(row, error, attempt=attempt)
            rows, attempt = np.array([row for row, _ in failed], np.int64), attempt + 1
        return self

    def _attempt(self, rows: Int64s) -> Iterator[Failure]:
        """Fill some rows, and yield those that cannot be filled."""
        of_dataset = self.visits.datasets[rows]
        for place, reader in enumerate(self._reader.readers):
            if (mine := rows[of_dataset == place]).size:
                yield from self._attempt_component(reader, mine)

    def _attempt_component(self, reader: ComponentReader, rows: Int64s) -> Iterator[Failure]:
        if not reader.renderers:
            yield from _together_or_alone(rows, lambda some: self._fill_without_decoding(reader, some))
            return
        # All views are chosen before the first picture is decoded: between two pictures the same code would run from
        # cold caches, and take five times as long.
        examples: dict[int, Example] = {}
        found = reader.look_at(self.visits.ids[rows], self.visits.epochs[rows])
        for row, example in zip(rows.tolist(), found, strict=True):
            if isinstance(example, CorruptShardError):
                yield row, example
            else:
                examples[row] = example
                self._numbers[row] = example.numbers
        if examples:
            failed = dict(_together_or_alone(_rows(examples), lambda some: self._read_beside(reader, some)))
            yield from failed.items()
            for row, example in examples.items():
                if row not in failed:
                    try:
                        self._fill_row(row, example, reader)
                    except CorruptShardError as error:
                        yield row, error

    def _fill_without_decoding(self, reader: ComponentReader, rows: Int64s) -> None:
        """Fill rows of a dataset that holds nothing to decode, all together."""
        keys = reader.component.dataset.keys(self.visits.ids[rows])
        self._numbers[rows] = reader.view_numbers(keys, self.visits.epochs[rows])
        self._read_beside(reader, rows)
        for name, values in self.inputs.items():
            values.numpy()[rows] = self._reader.blank_rows[name].numpy()
        for row, key in zip(rows.tolist(), keys, strict=True):
            self.keys[row] = key

    def _read_beside(self, reader: ComponentReader, rows: Int64s) -> None:
        """Read what is not decoded: labels, and the stored targets of the views that were chosen."""
        ids = self.visits.ids[rows]
        if self._reader.has_labels:
            self.labels[rows] = self._reader.classes.numbered(reader.component.dataset, reader.labels(ids))
        for (name, look), stored in self.stored.items():
            stored.numpy()[rows] = reader.component.stored[name].read(ids, self._numbers[rows, look])

    def _fill_row(self, row: int, example: Example, reader: ComponentReader) -> None:
        rendered = reader.render(example)
        self.keys[row] = example.sample.key
        for name, rows in self.inputs.items():
            values, length = rendered.get(name) or (self._reader.blank_rows[name][0], 0)
            # torch would share out so small a copy among threads, which costs more than the copy.
            rows[row].numpy()[...] = values.numpy()
            self._note_length(name, row, length)
        if self.encoded:
            pictures = reader.encode(example)
            for name, found in self.encoded.items():
                found[row] = pictures.get(name)
                self._note_length(name, row, self._reader.num_tokens[name] if name in pictures else 0)

    def _note_length(self, name: str, row: int, length: int) -> None:
        if name in self.lengths:
            self.lengths[name][row] = length

    def _fits(self, row: int) -> Fits:
        """Return what tells which samples have room where the sample of a row was planned."""
        lengths_of = self._reader.lengths_of
        if lengths_of is None:
            return lambda sample: True
        dataset = self.visits.datasets[row : row + 1]

        def length(sample: int) -> int:
            return int(lengths_of(Visits(datasets=dataset, ids=np.array([sample]), epochs=np.zeros(1, np.int64)))[0])

        most = length(int(self._wanted[row]))
        return lambda sample: length(sample) <= most

    def _replace(self, row: int, error: CorruptShardError, *, attempt: int) -> None:
        """Put another sample into a row, and note why, or raise `error`."""
        component = self._reader.components[self.visits.datasets[row]]
        wanted, epoch, tried = int(self._wanted[row]), int(self.visits.epochs[row]), int(self.visits.ids[row])
        instead = self._reader.damage.replacement(
            wanted,
            epoch=epoch,
            attempt=attempt,
            num_samples=component.dataset.num_samples,
            error=error,
            fits=self._fits(row),
        )
        self.visits.ids[row] = instead
        self.damage.append(
            DamagedSample(
                step=self._step,
                dataset=component.name,
                sample=tried,
                epoch=epoch,
                replaced_by=instead,
                kind=error.kind or Damage.PAYLOAD,
                shard=error.shard or "",
                key=error.key or "",
                field=error.field or "",
                message=str(error),
            )
        )


def _together_or_alone(rows: Int64s, fill: Callable[[Int64s], None]) -> Iterator[Failure]:
    """Fill rows together, or one by one if something is damaged, and yield those that cannot be filled."""
    try:
        fill(rows)
    except CorruptShardError:
        for row in rows.tolist():
            try:
                fill(np.array([row]))
            except CorruptShardError as error:
                yield row, error


def _rows(examples: Iterable[int]) -> Int64s:
    return np.array(list(examples), np.int64)
