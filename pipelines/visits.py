"""Visits: which samples a batch takes. Several datasets are mixed, and samples packed, by plans that hold no state.

A plan maps a position to the global batch that stands there and to the next position; both are the same on every rank. All
that a stream has to remember is its position, a few whole numbers.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pipelines.mixing import UNIT, Weight, last_change, quotas, shares
from pipelines.order import SampleOrder, rank_slice
from pipelines.packing import Packing, dealt_packs, shuffled_packs
from pipelines.permutation import Int64s
from pipelines.randomness import hash_key


@dataclass(frozen=True, kw_only=True)
class Visits:
    """The samples of a batch, one entry each.

    Args:
        datasets: Which of the mixed datasets, int64 [batch].
        ids: Number of the sample in its dataset, int64 [batch].
        epochs: How often its dataset has been gone through before, int64 [batch].
        packs: Which pack of the batch it belongs to, int64 [batch], from 0; None where nothing is packed.
    """

    datasets: Int64s
    ids: Int64s
    epochs: Int64s
    packs: Int64s | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: Int64s | slice) -> "Visits":
        """Return some of the visits."""
        packs = None if self.packs is None else self.packs[rows]
        return Visits(datasets=self.datasets[rows], ids=self.ids[rows], epochs=self.epochs[rows], packs=packs)


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a stream stands: before global batch `step`.

    Args:
        step: Batches that came before.
        counters: Samples taken of each dataset, those of the window that is being packed not counted.
        debts: What each dataset is still owed; see `pipelines.mixing`.
        since: The step at which the counters were taken, whose weights count for the samples that follow.
        pack: The next pack of the window; 0 where nothing is packed.
    """

    step: int
    counters: tuple[int, ...]
    debts: tuple[int, ...]
    since: int = 0
    pack: int = 0

    @classmethod
    def start(cls, num_datasets: int) -> "Position":
        """Return the position before the first batch."""
        return cls(step=0, counters=(0,) * num_datasets, debts=(0,) * num_datasets)

    def is_sound(self, num_datasets: int) -> bool:
        """Tell whether a stream of so many datasets can stand here."""
        places = (self.step, self.since, self.pack, *self.counters)
        return (
            len(self.counters) == len(self.debts) == num_datasets
            and min(places) >= 0
            and self.since <= self.step
            and sum(self.debts) == 0
            and max(map(abs, self.debts)) <= num_datasets * UNIT
        )

    def to_json(self) -> dict[str, Any]:
        """Return the position as JSON values."""
        return asdict(self) | {"counters": list(self.counters), "debts": list(self.debts)}


@runtime_checkable
class BatchPlan(Protocol):
    """Decides the global batch at a position, and the part of it that a rank reads."""

    def batch(self, position: Position) -> tuple[Visits, Position]:
        """Return the global batch at a position, and the position after it."""
        ...

    def part(self, visits: Visits, *, rank: int, world_size: int) -> Visits:
        """Return what a rank reads of a global batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Samples of several datasets in the proportion of their weights; each dataset goes through its own epochs."""

    orders: tuple[SampleOrder, ...]
    weights: tuple[Weight, ...]

    @cached_property
    def _last_change(self) -> int:
        return last_change(self.weights)

    def take(self, position: Position, count: int) -> tuple[Visits, Position]:
        """Return the next `count` samples, lane by lane, and the position with their counters; `step` stays."""
        owed_of_one = shares(self.weights, min(position.since, self._last_change))
        taken, debts = quotas(owed_of_one, position.debts, count)
        runs = list(zip(self.orders, position.counters, taken, strict=True))
        lanes = np.concatenate([order.lane_shares(first, size) for order, first, size in runs])
        visits = Visits(
            datasets=np.repeat(np.arange(len(taken)), taken),
            ids=np.concatenate([order.ids(first, size) for order, first, size in runs]),
            epochs=np.concatenate([order.epochs(first, size) for order, first, size in runs]),
        )
        counters = tuple(first + size for _, first, size in runs)
        return visits.at(np.argsort(lanes, kind="stable")), replace(position, counters=counters, debts=debts)


@dataclass(frozen=True, kw_only=True)
class SampleBatches:
    """Batches of `size` samples."""

    mixture: Mixture
    size: int

    def batch(self, position: Position) -> tuple[Visits, Position]:
        """Return the global batch at a position, and the position after it."""
        visits, after = self.mixture.take(position, self.size)
        return visits, replace(after, step=position.step + 1, since=position.step + 1)

    def part(self, visits: Visits, *, rank: int, world_size: int) -> Visits:
        """Return what a rank reads of a global batch: an equal number of samples, from lanes of its own."""
        return visits.at(rank_slice(self.size, rank=rank, world_size=world_size))


LengthsOf = Callable[[Visits], Int64s]
"""From visits to the number of tokens of each, at least 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackBatches:
    """Batches of `size` packs of samples; see `pipelines.packing`."""

    mixture: Mixture
    size: int
    packing: Packing
    lengths_of: LengthsOf
    seed: int

    def batch(self, position: Position) -> tuple[Visits, Position]:
        """Return the global batch at a position, and the position after it."""
        found: list[Visits] = []
        missing = self.size
        while missing:
            window = self._windows(position.counters, position.debts, position.since)
            packs = range(position.pack, min(position.pack + missing, window.num_packs))
            found.append(window.packs(packs, numbered_from=self.size - missing))
            missing -= len(packs)
            is_over = packs.stop == window.num_packs
            position = (
                replace(position, counters=window.counters, debts=window.debts, since=position.step, pack=0)
                if is_over
                else replace(position, pack=packs.stop)
            )
        return _joined(found), replace(position, step=position.step + 1)

    @cached_property
    def _windows(self) -> Callable[[tuple[int, ...], tuple[int, ...], int], "_Window"]:
        return lru_cache(maxsize=4)(self._window)

    def _window(self, counters: tuple[int, ...], debts: tuple[int, ...], since: int) -> "_Window":
        """Pack the window that begins where the datasets stand."""
        begin = Position(step=since, counters=counters, debts=debts, since=since)
        visits, after = self.mixture.take(begin, self.packing.window)
        key = hash_key(self.seed, *counters, "packs")
        packs = shuffled_packs(self.lengths_of(visits), capacity=self.packing.capacity, key=key)
        order = np.argsort(packs, kind="stable")
        num_packs = int(packs.max()) + 1
        return _Window(
            visits=replace(visits.at(order), packs=packs[order]),
            num_packs=num_packs,
            starts=np.searchsorted(packs[order], np.arange(num_packs + 1)),
            counters=after.counters,
            debts=after.debts,
        )

    def part(self, visits: Visits, *, rank: int, world_size: int) -> Visits:
        """Return what a rank reads of a global batch: an equal number of packs, of about equal cost.

        Attention costs the sum of the squared lengths, and that is what is shared out evenly.
        """
        rank_slice(self.size, rank=rank, world_size=world_size)
        assert visits.packs is not None
        lengths = self.lengths_of(visits)
        costs = np.bincount(visits.packs, weights=lengths.astype(np.float64) ** 2, minlength=self.size)
        ranks = dealt_packs(costs.astype(np.int64), world_size=world_size)
        rows = np.flatnonzero(ranks[visits.packs] == rank)
        _, numbered_anew = np.unique(visits.packs[rows], return_inverse=True)
        return replace(visits.at(rows), packs=numbered_anew)


@dataclass(frozen=True, kw_only=True)
class _Window:
    """Samples that are packed together, by pack, and where the datasets stand after them."""

    visits: Visits
    num_packs: int
    starts: Int64s
    counters: tuple[int, ...]
    debts: tuple[int, ...]

    def packs(self, packs: range, *, numbered_from: int) -> Visits:
        """Return the samples of a run of packs, the packs numbered anew."""
        found = self.visits.at(slice(self.starts[packs.start], self.starts[packs.stop]))
        assert found.packs is not None
        return replace(found, packs=found.packs - packs.start + numbered_from)


def _joined(parts: list[Visits]) -> Visits:
    packs = [part.packs for part in parts if part.packs is not None]
    return Visits(
        datasets=np.concatenate([part.datasets for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        epochs=np.concatenate([part.epochs for part in parts]),
        packs=np.concatenate(packs) if packs else None,
    )
