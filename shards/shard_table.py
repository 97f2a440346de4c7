"""The shard table in memory: columns as numpy arrays, and from them the numbering of all samples."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from shards.errors import DatasetError
from shards.index import ArrowTable
from shards.receipt import require_inside
from shards.schema import BLOCK

Ids = npt.NDArray[np.int64]

BLOCKS_PER_SHARD = 1 << 32
"""More blocks than any shard has: shard * BLOCKS_PER_SHARD + block is one number for a block of the dataset."""


class ShardTable:
    """The shards of a dataset, and which of their rows are the samples of a split.

    Samples are numbered so that every run of 64 from a multiple of 64 lies side by side in one shard (a *full block*);
    the short tails of the shards come last.

    Args:
        table: The shard table.
        num_shards: How many shards the manifest speaks of.
        split: Whose samples are numbered; those of all shards if it is empty.

    Raises:
        DatasetError: The table has another number of shards.
    """

    def __init__(self, table: ArrowTable, num_shards: int, split: str) -> None:
        self._table = table
        self._rows = table.batch(0)
        self._split = split
        if self._rows.num_rows != num_shards:
            raise DatasetError(
                f"{table.path} lists {self._rows.num_rows} shards, the manifest {num_shards}. Run `maskloom verify`."
            )

    def text(self, shard: int, column: str) -> str:
        """Return what a column of strings says about a shard."""
        return str(self._validated(self._rows.column(column).slice(shard, 1))[0].as_py())

    def _validated(self, column: pa.Array) -> pa.Array:
        """Return strings whose offsets are known to stay inside the file; checking those of all shards would take long."""
        try:
            column.validate(full=True)
        except pa.ArrowException as error:
            raise self._table.damaged(0, error) from error
        return column

    def path(self, shard: int, which: str) -> str:
        """Return the path of a shard's `tar` or `index` inside the dataset.

        Raises:
            DatasetError: It would leave the dataset folder.
        """
        return require_inside(self.text(shard, which))

    @cached_property
    def samples(self) -> Ids:
        """Samples in every shard."""
        column: Ids = self._rows.column("samples").to_numpy()
        return column

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the shard and the row inside it of sample numbers that are in range; O(log shards) each."""
        tails = ids - self._num_full_blocks * BLOCK
        if not ids.size or tails.max() < 0:
            return self._locate_full(ids)
        shards, rows = np.empty_like(ids), np.empty_like(ids)
        is_tail = tails >= 0
        shards[is_tail], rows[is_tail] = self._locate_tails(tails[is_tail])
        shards[~is_tail], rows[~is_tail] = self._locate_full(ids[~is_tail])
        return shards, rows

    def ids(self, shard: int) -> Ids:
        """Return the sample numbers of a shard in the order of its rows; the inverse of `locate`."""
        place = int(self._shards.searchsorted(shard))
        blocks, tail = divmod(int(self.samples[shard]), BLOCK)
        full = np.arange(blocks * BLOCK, dtype=np.int64) + int(self._first_blocks[place]) * BLOCK
        first = self._num_full_blocks * BLOCK + int(self._first_tails[place])
        return np.concatenate([full, np.arange(first, first + tail, dtype=np.int64)])

    def _locate_full(self, ids: Ids) -> tuple[Ids, Ids]:
        blocks = ids // BLOCK
        places = self._first_blocks.searchsorted(blocks, side="right") - 1
        return self._shards[places], (blocks - self._first_blocks[places]) * BLOCK + ids % BLOCK

    def _locate_tails(self, tails: Ids) -> tuple[Ids, Ids]:
        places = self._first_tails.searchsorted(tails, side="right") - 1
        shards = self._shards[places]
        return shards, self.samples[shards] // BLOCK * BLOCK + tails - self._first_tails[places]

    @cached_property
    def _shards(self) -> Ids:
        """Numbers of the shards that the split is made of, in order."""
        if not self._split:
            return np.arange(self._rows.num_rows, dtype=np.int64)
        splits = self._validated(self._rows.column("split"))
        return np.flatnonzero(pa.compute.equal(splits, self._split).to_numpy(zero_copy_only=False))

    @cached_property
    def _sizes(self) -> Ids:
        """Samples in the shards of the split."""
        return self.samples[self._shards] if self._split else self.samples

    @cached_property
    def _first_blocks(self) -> Ids:
        return _counts_before(self._sizes // BLOCK)

    @cached_property
    def _first_tails(self) -> Ids:
        return _counts_before(self._sizes % BLOCK)

    @cached_property
    def _num_full_blocks(self) -> int:
        return int((self._sizes // BLOCK).sum())


def _counts_before(counts: Ids) -> Ids:
    """Return for every place the sum of all counts before it."""
    return np.cumsum(counts, dtype=np.int64) - counts
