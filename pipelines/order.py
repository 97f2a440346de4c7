"""The order of samples: a pure function of (seed, position), O(samples asked for) whatever the size of the dataset.

A dataset is gone through again and again: position p belongs to epoch p // N, and every epoch visits each of the N samples
exactly once. Sample ids run from 0 to N-1. Ids [64b, 64b+64) are the full block b and lie side by side on disk; what is
left at the end, fewer than 64 ids, is the stub. One keyed permutation of all full blocks is dealt out to L lanes, the
same number of blocks to each. Inside a lane, groups of blocks are shuffled sample by sample. Successive positions go round
the lanes, so a batch takes as many samples from every lane (or one more), and a lane touches few blocks at a time and
leaves them for good when it has passed through a group.

The blocks that could not be dealt evenly, and the stub, are shuffled on their own and strewn evenly over the epoch.
Batches are runs of positions: they do not depend on how many processes or workers share them, and one that reaches
beyond the end of an epoch begins the next. Nothing is repeated, left out or filled up.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.permutation import Int64s, permute
from pipelines.randomness import GOLDEN_GAMMA, UInt64s, hash_key, mix64
from shards.errors import SettingsError
from shards.schema import BLOCK

ORDER_VERSION = 2
"""Changes whenever the same (seed, position) would give other samples."""

POSITIONS_AHEAD = 16_384
"""Positions computed together: for a small batch, calling numpy would cost more than the arithmetic."""

_MIN_BLOCKS_PER_LANE = 8
_GOLDEN_RATIO = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly, however many are taken."""


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """How widely samples are shuffled, which is also how much is read at the same time.

    While an epoch passes, every lane has a group of blocks in use: `lanes` * `group_blocks` * 64 samples over all ranks, and
    those few that could not be dealt evenly. Fewer need less room in the cache of a remote dataset, more mix better.

    Args:
        lanes: Most lanes that blocks are dealt out to. Small datasets have fewer, so that a lane has about 8 blocks, and
            larger groups, so that as many blocks are in use. A number that the nodes divide gives each node its own lanes.
        group_blocks: Blocks that are shuffled together, sample by sample, inside a lane.

    Raises:
        SettingsError: There would be no lane, or nothing in a group.
    """

    lanes: int = 1024
    group_blocks: int = 4

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.group_blocks < 1:
            raise SettingsError(
                f"A shuffle of {self.lanes} lanes in groups of {self.group_blocks} blocks was asked for; "
                "both have to be at least 1."
            )


@dataclass(frozen=True, kw_only=True)
class SampleOrder:
    """The order in which `num_samples` samples are visited, epoch after epoch.

    Raises:
        SettingsError: There are no samples.
    """

    num_samples: int
    seed: int
    shuffle: Shuffle = Shuffle()

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise SettingsError("An order was asked for a dataset without samples; ingest something first.")

    @cached_property
    def num_lanes(self) -> int:
        """Lanes that the blocks are dealt out to."""
        return min(self.shuffle.lanes, max(1, self._num_blocks // _MIN_BLOCKS_PER_LANE))

    def ids(self, first: int, count: int) -> Int64s:
        """Return the ids at the positions `first` .. `first + count - 1`: int64 [count].

        Raises:
            IndexError: A position is negative.
        """
        if first < 0 or count < 0:
            raise IndexError(f"{count} samples from position {first} on were asked for; neither can be negative.")
        parts, position = [np.empty(0, np.int64)], first
        while position < first + count:
            epoch, place = divmod(position, self.num_samples)
            chunk, start = divmod(place, POSITIONS_AHEAD)
            part = _chunk(self, epoch, chunk)[start : start + first + count - position]
            parts.append(part)
            position += len(part)
        return np.concatenate(parts)

    def epochs(self, first: int, count: int) -> Int64s:
        """Return the epochs of the positions `first` .. `first + count - 1`: int64 [count]."""
        return np.arange(first, first + count, dtype=np.int64) // self.num_samples

    def lane_shares(self, first: int, count: int) -> npt.NDArray[np.float64]:
        """Return, for the same positions, where in [0, 1) their lanes stand among all lanes.

        Sorted by it, equal parts of a batch are what the ranks read, so that a rank keeps its lanes and their blocks. Samples
        that were not dealt have no lane and go to all ranks alike.
        """
        places = np.arange(first, first + count, dtype=np.int64) % self.num_samples
        strewn, is_strewn = self._strewn(places)
        in_lanes = (places - strewn) % self.num_lanes / self.num_lanes
        return np.where(is_strewn, strewn * _GOLDEN_RATIO % 1, in_lanes)

    def places(self, epoch: int, places: Int64s) -> Int64s:
        """Return the ids at `places`, each in 0 .. num_samples - 1, of an epoch."""
        ids = np.empty_like(places)
        strewn, is_strewn = self._strewn(places)
        ids[~is_strewn] = self._dealt(epoch, (places - strewn)[~is_strewn])
        ids[is_strewn] = self._left_over(epoch, strewn[is_strewn])
        return ids

    def _strewn(self, places: Int64s) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Return how many samples that were not dealt come before each place, and whether there is one at it."""
        num_left = self.num_samples - self._num_dealt
        before = places * num_left // self.num_samples
        return before, (places + 1) * num_left // self.num_samples > before

    @property
    def _num_blocks(self) -> int:
        return self.num_samples // BLOCK

    @property
    def _group_blocks(self) -> int:
        """Blocks to a group: more where there are fewer lanes."""
        return self.shuffle.lanes * self.shuffle.group_blocks // self.num_lanes

    @property
    def _blocks_per_lane(self) -> int:
        return self._num_blocks // self.num_lanes

    @property
    def _num_dealt(self) -> int:
        """Samples in blocks that are dealt out to lanes."""
        return self._blocks_per_lane * self.num_lanes * BLOCK

    def _dealt(self, epoch: int, places: Int64s) -> Int64s:
        positions, lanes = np.divmod(places, self.num_lanes)
        group = self._group_blocks * BLOCK
        # Lanes begin with groups of different sizes, so that they do not all come to new blocks at the same time.
        is_long = self._blocks_per_lane > self._group_blocks
        ahead = lanes * self._group_blocks // self.num_lanes * BLOCK * is_long
        groups = (positions + ahead) // group
        starts = np.maximum(0, groups * group - ahead)
        sizes = np.minimum((groups + 1) * group - ahead, self._blocks_per_lane * BLOCK) - starts
        shuffled = permute(positions - starts, size=sizes, key=self._group_keys(epoch, lanes, groups))
        ranks = (starts + shuffled) // BLOCK * self.num_lanes + lanes
        return self._blocks(epoch, ranks) * BLOCK + shuffled % BLOCK

    def _left_over(self, epoch: int, places: Int64s) -> Int64s:
        """Return the ids at `places` of what is not dealt: the blocks beyond those of all lanes, and the stub."""
        size = self.num_samples - self._num_dealt
        shuffled = permute(places, size=size, key=hash_key(self.seed, epoch, "left over"))
        ids = self._num_dealt + shuffled
        in_block = ids < self._num_blocks * BLOCK
        ids[in_block] = self._blocks(epoch, ids[in_block] // BLOCK) * BLOCK + ids[in_block] % BLOCK
        return ids

    def _blocks(self, epoch: int, ranks: Int64s) -> Int64s:
        """Return the blocks at `ranks` of the permutation of all blocks."""
        return permute(ranks, size=self._num_blocks, key=hash_key(self.seed, epoch, "blocks"))

    def _group_keys(self, epoch: int, lanes: Int64s, groups: Int64s) -> UInt64s:
        """Hash seed, epoch, lane and group together, for many lanes at once."""
        start = np.array([hash_key(self.seed, epoch, "group")], dtype=np.uint64)
        by_lane = mix64(start + GOLDEN_GAMMA * lanes.astype(np.uint64))
        return mix64(by_lane + GOLDEN_GAMMA * groups.astype(np.uint64))


@lru_cache(maxsize=64)
def _chunk(order: SampleOrder, epoch: int, chunk: int) -> Int64s:
    """Return the ids of a run of places of an epoch: `POSITIONS_AHEAD` of them, fewer at its end."""
    first = chunk * POSITIONS_AHEAD
    return order.places(epoch, np.arange(first, min(first + POSITIONS_AHEAD, order.num_samples)))


def rank_slice(global_batch: int, *, rank: int, world_size: int) -> slice:
    """Return the part of a global batch that belongs to `rank`: equal parts, in order, so that a rank keeps its lanes.

    Raises:
        SettingsError: The batch is empty, cannot be divided evenly, or there is no such rank.
    """
    if global_batch < 1:
        raise SettingsError(f"A global batch of {global_batch} was asked for; it has to be at least 1.")
    if not 0 <= rank < world_size:
        raise SettingsError(f"Rank {rank} was asked for, but ranks run from 0 to {world_size - 1}.")
    if global_batch % world_size:
        below = global_batch // world_size * world_size
        fitting = f"{below} or {below + world_size}" if below else f"{world_size}"
        raise SettingsError(
            f"A global batch of {global_batch} cannot be divided evenly among {world_size} processes. "
            f"Use another number of processes, or a batch such as {fitting}."
        )
    share = global_batch // world_size
    return slice(rank * share, (rank + 1) * share)
