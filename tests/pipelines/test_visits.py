"""The plan of batches, alone: nothing is read."""

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.mixing import Weight
from pipelines.order import SampleOrder, Shuffle
from pipelines.packing import FactLength, Packing
from pipelines.visits import BatchPlan, Mixture, PackBatches, Position, SampleBatches, Visits
from shards.errors import SettingsError

SIZES = (50_000, 3_000, 700, 64, 5)
WEIGHTS = (100, 10, 5, 2, 1)
BATCH = 48
CHANGE = 40


def mixture() -> Mixture:
    """Five datasets, the weight of the second of which changes at step `CHANGE`."""
    weights = [Weight.constant(float(weight)) for weight in WEIGHTS]
    weights[1] = Weight(knots=((CHANGE - 1, 10.0), (CHANGE, 60.0)))
    orders = (SampleOrder(num_samples=size, seed=place, shuffle=Shuffle()) for place, size in enumerate(SIZES))
    return Mixture(orders=tuple(orders), weights=tuple(weights))


def length_of(visits: Visits) -> np.ndarray:
    """A length that belongs to the sample, from 1 to 100."""
    return 1 + (visits.ids * 7919 + visits.datasets * 104_729) % 100


def samples() -> SampleBatches:
    return SampleBatches(mixture=mixture(), size=BATCH)


def packs() -> PackBatches:
    packing = Packing(capacity=256, lengths={"any": FactLength(column="x", at_most=100)}, window=500)
    return PackBatches(mixture=mixture(), size=BATCH, packing=packing, lengths_of=length_of, seed=3)


def walk(plan: BatchPlan, position: Position, steps: int) -> tuple[list[Visits], Position]:
    found = []
    for _ in range(steps):
        visits, position = plan.batch(position)
        found.append(visits)
    return found, position


def walk_on(plan: BatchPlan, position: Position, steps: int) -> Position:
    """Walk without keeping the batches."""
    for _ in range(steps):
        _, position = plan.batch(position)
    return position


def rows(visits: Visits) -> list[tuple[int, ...]]:
    columns = [visits.datasets, visits.ids, visits.epochs]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


START = Position.start(len(SIZES))
PLANS = pytest.mark.parametrize("plan", [samples(), packs()], ids=["samples", "packs"])


@PLANS
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 8])
def test_the_ranks_of_any_world_read_the_same_global_batch(plan: BatchPlan, world_size: int) -> None:
    for visits in walk(plan, START, 45)[0][::11]:
        parts = [plan.part(visits, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert Counter(row for part in parts for row in rows(part)) == Counter(rows(visits))


@PLANS
@pytest.mark.parametrize("stops", [(1,), (39,), (40,), (41,), (7, 3, 50)])
def test_a_walk_that_is_interrupted_takes_the_same_batches(plan: BatchPlan, stops: tuple[int, ...]) -> None:
    expected = [rows(visits) for visits in walk(plan, START, sum(stops) + 5)[0]]
    found, position = [], START
    for steps in (*stops, 5):
        part, position = walk(plan, Position(**position.to_json() | {
            "counters": tuple(position.counters), "debts": tuple(position.debts)
        }), steps)  # fmt: skip
        found += [rows(visits) for visits in part]
    assert found == expected


@PLANS
def test_no_dataset_repeats_or_loses_a_sample_when_weights_change(plan: BatchPlan) -> None:
    batches, position = walk(plan, START, 120)
    seen: dict[int, Counter[tuple[int, int]]] = {place: Counter() for place in range(len(SIZES))}
    for visits in batches:
        for place, sample, epoch in rows(visits):
            seen[place][epoch, sample] += 1
    for place, size in enumerate(SIZES):
        assert max(seen[place].values()) == 1
        whole_epochs = max(epoch for epoch, _ in seen[place])
        if isinstance(plan, SampleBatches):
            assert all((epoch, sample) in seen[place] for epoch in range(whole_epochs) for sample in range(size))
            assert sum(seen[place].values()) == position.counters[place]


def test_the_share_of_a_dataset_changes_at_the_step_of_its_weight() -> None:
    batches, _ = walk(samples(), START, 2 * CHANGE)
    shares = [np.mean(visits.datasets == 1) for visits in batches]
    assert np.mean(shares[:CHANGE]) == pytest.approx(10 / 118, abs=0.01)
    assert np.mean(shares[CHANGE:]) == pytest.approx(60 / 168, abs=0.01)


def test_a_dataset_smaller_than_its_share_is_gone_through_several_times_in_a_batch() -> None:
    order = SampleOrder(num_samples=5, seed=0)
    plan = SampleBatches(mixture=Mixture(orders=(order,), weights=(Weight.constant(1.0),)), size=12)
    visits, _ = plan.batch(Position.start(1))
    assert sorted(Counter(visits.ids.tolist()).values()) == [2, 2, 2, 3, 3]
    assert sorted(visits.epochs.tolist()) == [0] * 5 + [1] * 5 + [2] * 2


def test_a_batch_that_reaches_beyond_an_epoch_begins_the_next() -> None:
    order = SampleOrder(num_samples=100, seed=0)
    plan = SampleBatches(mixture=Mixture(orders=(order,), weights=(Weight.constant(1.0),)), size=64)
    batches, _ = walk(plan, Position.start(1), 25)
    everything = np.concatenate([visits.ids for visits in batches])
    epochs = np.concatenate([visits.epochs for visits in batches])
    assert batches[1].epochs.tolist().count(1) == 28
    for epoch in range(16):
        assert sorted(everything[epochs == epoch].tolist()) == list(range(100))


@given(st.integers(1, 400), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_packs_hold_every_sample_of_a_window_once_and_never_too_much(window: int, size: int) -> None:
    packing = Packing(capacity=256, lengths={"any": FactLength(column="x", at_most=100)}, window=window)
    plan = replace(packs(), packing=packing, size=size)
    batches, _ = walk(plan, START, 12)
    seen = Counter(row for visits in batches for row in rows(visits))
    assert max(seen.values()) == 1
    for visits in batches:
        assert visits.packs is not None
        loads = np.bincount(visits.packs, weights=length_of(visits), minlength=size)
        assert 1 <= loads.min() <= loads.max() <= 256
        assert len(loads) == size


def test_packed_batches_are_full_and_cost_every_rank_about_the_same() -> None:
    plan = packs()
    batches, _ = walk(plan, START, 30)
    tokens = sum(int(length_of(visits).sum()) for visits in batches)
    assert tokens / (30 * BATCH * 256) > 0.97
    costs = [
        sum(float((length_of(plan.part(visits, rank=rank, world_size=4)) ** 2.0).sum()) for visits in batches)
        for rank in range(4)
    ]
    assert max(costs) / min(costs) < 1.03


def test_a_rank_numbers_its_packs_from_zero() -> None:
    plan = packs()
    visits, _ = plan.batch(START)
    mine = plan.part(visits, rank=1, world_size=4)
    assert mine.packs is not None
    assert np.unique(mine.packs).tolist() == list(range(BATCH // 4))


@PLANS
def test_a_world_that_does_not_divide_the_batch_is_refused(plan: BatchPlan) -> None:
    visits, _ = plan.batch(START)
    with pytest.raises(SettingsError, match="among 5 processes"):
        plan.part(visits, rank=0, world_size=5)


@PLANS
def test_planning_keeps_nothing_of_the_batches_before(plan: BatchPlan) -> None:
    _, position = walk(plan, START, 200)
    tracemalloc.start()
    position = walk_on(plan, position, 100)
    before = tracemalloc.get_traced_memory()[0]
    walk_on(plan, position, 300)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2 * 2**20


def test_a_position_is_a_few_hundred_bytes_however_far_it_is() -> None:
    far = Position(step=10**7, counters=(10**11,) * 5, debts=(2**33, -(2**33), 0, 1, -1), since=10**7, pack=8191)
    assert len(str(far.to_json())) < 300
    visits, _ = samples().batch(far)
    assert len(visits) == BATCH
