"""The order of samples in an epoch: a pure function of (seed, epoch, step), O(batch) whatever the size of the dataset.

Sample ids run from 0 to N-1. Ids [64b, 64b+64) are the full block b and lie side by side on disk; what is left at the
end, fewer than 64 ids, is the stub. One keyed permutation of all full blocks is dealt out to L lanes. Inside a lane,
groups of 64 blocks are shuffled sample by sample. Each global batch takes the same number of samples from every lane,
so a lane touches few blocks at a time and leaves them for good when it has passed through a group.

What the lanes cannot fill whole batches with, and the stub, is shuffled on its own and makes the last batches of the
epoch; the very last one is filled up to size with samples of the same epoch. So every id comes at least once an epoch,
and the batches do not depend on how many processes or workers share them.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pipelines.permutation import Int64s, permute
from pipelines.randomness import GOLDEN_GAMMA, UInt64s, hash_key, mix64
from shards.errors import SettingsError
from shards.schema import BLOCK

ORDER_VERSION = 1
"""Changes whenever the same (seed, epoch, step) would give other samples."""

IDS_AHEAD = 16_384
"""Ids computed together for small batches, where calling numpy would cost more than the arithmetic."""

MAX_LANES = 64
GROUP_BLOCKS = 64
GROUP = GROUP_BLOCKS * BLOCK
"""Samples that are shuffled together inside a lane."""

_MIN_BLOCKS_PER_LANE = 8


def lanes_for(global_batch: int, num_blocks: int) -> int:
    """Return the number of lanes: the largest divisor of the batch up to 64 that leaves each lane about 8 blocks."""
    most = min(MAX_LANES, max(1, num_blocks // _MIN_BLOCKS_PER_LANE))
    return max(lanes for lanes in range(1, most + 1) if global_batch % lanes == 0)


def rank_slice(global_batch: int, *, rank: int, world_size: int) -> slice:
    """Return the part of a global batch that belongs to `rank`: equal parts, in order, so that a rank keeps its lanes.

    Raises:
        SettingsError: The batch cannot be divided evenly, or there is no such rank.
    """
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


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The order of `num_samples` samples in global batches of `global_batch`.

    Raises:
        SettingsError: There are no samples, or the batch is empty.
    """

    num_samples: int
    global_batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise SettingsError("An order was asked for a dataset without samples; ingest something first.")
        if self.global_batch < 1:
            raise SettingsError(f"A global batch of {self.global_batch} was asked for; it has to be at least 1.")

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch: num_samples / global_batch, rounded up."""
        return -(-self.num_samples // self.global_batch)

    def batch(self, epoch: int, step: int) -> Int64s:
        """Return the ids of global batch `step` of `epoch`: int64 [global_batch], lane by lane.

        Ids of one batch are distinct unless the dataset is smaller than the batch.

        Raises:
            IndexError: The epoch is negative or the step is not in 0 .. steps_per_epoch-1.
        """
        if epoch < 0 or not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"Epoch {epoch}, step {step}: an epoch has steps 0..{self.steps_per_epoch - 1}.")
        if step < self._lane_steps:
            return self._lane_batch(epoch, step)
        return self._last_batches(epoch, step - self._lane_steps)

    @cached_property
    def num_lanes(self) -> int:
        """Lanes that the blocks are dealt out to."""
        return lanes_for(self.global_batch, self._num_blocks)

    @property
    def _num_blocks(self) -> int:
        return self.num_samples // BLOCK

    @property
    def _per_lane(self) -> int:
        return self.global_batch // self.num_lanes

    @property
    def _lane_steps(self) -> int:
        """Global batches that every lane can contribute to."""
        return self._num_blocks // self.num_lanes * BLOCK // self._per_lane

    def _lane_batch(self, epoch: int, step: int) -> Int64s:
        ahead = max(1, IDS_AHEAD // self.global_batch)
        batches: Int64s = _lane_batches(self, epoch, step // ahead * ahead, ahead)
        batch: Int64s = batches[step % ahead].copy()
        return batch

    def lane_batches(self, epoch: int, steps: Int64s) -> Int64s:
        """Return the ids of the batches `steps`, which all lanes can contribute to: int64 [steps, global_batch]."""
        steps = steps[steps < self._lane_steps]
        lanes = np.repeat(np.arange(self.num_lanes), self._per_lane)
        places = np.tile(np.arange(self._per_lane), self.num_lanes)
        positions = steps[:, None] * self._per_lane + places
        return self._lane_ids(epoch, np.tile(lanes, len(steps)), positions.ravel()).reshape(len(steps), -1)

    def _lane_ids(self, epoch: int, lanes: Int64s, positions: Int64s) -> Int64s:
        """Return the ids at `positions` of `lanes`."""
        blocks_in_lane = self._num_blocks // self.num_lanes + (lanes < self._num_blocks % self.num_lanes)
        groups, places = np.divmod(positions, GROUP)
        sizes = np.minimum(GROUP, blocks_in_lane * BLOCK - groups * GROUP)
        shuffled = permute(places, size=sizes, key=self._group_keys(epoch, lanes, groups))
        dealt = (groups * GROUP_BLOCKS + shuffled // BLOCK) * self.num_lanes + lanes
        blocks = permute(dealt, size=self._num_blocks, key=hash_key(self.seed, epoch, "blocks"))
        return blocks * BLOCK + shuffled % BLOCK

    def _group_keys(self, epoch: int, lanes: Int64s, groups: Int64s) -> UInt64s:
        """Hash seed, epoch, lane and group together, for many lanes at once."""
        start = np.array([hash_key(self.seed, epoch, "group")], dtype=np.uint64)
        by_lane = mix64(start + GOLDEN_GAMMA * lanes.astype(np.uint64))
        return mix64(by_lane + GOLDEN_GAMMA * groups.astype(np.uint64))

    def _last_batches(self, epoch: int, step: int) -> Int64s:
        """Return the ids of the `step`-th batch after the lanes have run out of whole batches."""
        num_left = self.num_samples - self._lane_steps * self.global_batch
        places = np.arange(step * self.global_batch, min((step + 1) * self.global_batch, num_left))
        shuffled = permute(places, size=num_left, key=hash_key(self.seed, epoch, "remainder"))
        return self._filled_up(epoch, self._remainder_ids(epoch, shuffled))

    def _remainder_ids(self, epoch: int, places: Int64s) -> Int64s:
        """Return the ids at `places` of the remainder: the ends of the lanes one after the other, then the stub."""
        in_blocks = self._num_blocks * BLOCK
        in_lanes = in_blocks - self._lane_steps * self.global_batch
        ids = in_blocks + places - in_lanes
        is_lane_end = places < in_lanes
        ids[is_lane_end] = self._lane_ids(epoch, *self._lane_ends(places[is_lane_end]))
        return ids

    def _lane_ends(self, places: Int64s) -> tuple[Int64s, Int64s]:
        """Return the lane, and the position in it, of each of `places` in the ends of the lanes."""
        used = self._lane_steps * self._per_lane
        shortest, num_longer = divmod(self._num_blocks, self.num_lanes)
        left = shortest * BLOCK - used
        in_longer = num_longer * (left + BLOCK)
        longer, after_longer = np.divmod(places, left + BLOCK)
        # Shorter lanes may have nothing left; then every place is in a longer one and the divisor does not matter.
        shorter, after_shorter = np.divmod(places - in_longer, max(left, 1))
        is_longer = places < in_longer
        lanes = np.where(is_longer, longer, num_longer + shorter)
        return lanes, used + np.where(is_longer, after_longer, after_shorter)

    def _filled_up(self, epoch: int, ids: Int64s) -> Int64s:
        """Return `ids` filled up to a whole batch by keyed draws; no id comes twice if there are enough."""
        missing = self.global_batch - len(ids)
        if missing == 0:
            return ids
        candidates = np.arange(self.global_batch) % self.num_samples
        drawn = permute(candidates, size=self.num_samples, key=hash_key(self.seed, epoch, "fill"))
        fresh = drawn[~np.isin(drawn, ids)] if self.num_samples >= self.global_batch else drawn
        return np.concatenate([ids, fresh[:missing]])


@lru_cache(maxsize=4)
def _lane_batches(order: EpochOrder, epoch: int, first: int, count: int) -> Int64s:
    """Return the ids of `count` batches from step `first` on that come out of the lanes: [count, global_batch]."""
    return order.lane_batches(epoch, np.arange(first, first + count))


@dataclass(frozen=True, kw_only=True)
class SequentialOrder:
    """Every sample once, in the order of ids; the last batch holds what is left."""

    num_samples: int
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch: num_samples / batch_size, rounded up."""
        return -(-self.num_samples // self.batch_size)

    def batch(self, epoch: int, step: int) -> Int64s:
        """Return the ids of batch `step`, the same in every epoch: int64 [batch_size] or fewer."""
        start = step * self.batch_size
        return np.arange(start, min(start + self.batch_size, self.num_samples))
