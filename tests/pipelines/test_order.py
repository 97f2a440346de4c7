import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.order import GROUP, EpochOrder, SequentialOrder, lanes_for, rank_slice
from shards.errors import SettingsError
from shards.schema import BLOCK


def whole_epoch(order: EpochOrder, epoch: int) -> np.ndarray:
    return np.concatenate([order.batch(epoch, step) for step in range(order.steps_per_epoch)])


@given(st.integers(1, 700), st.floats(0, 15), st.integers(0, 2**31), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_sample_comes_and_only_fill_ups_come_twice(batch: int, batches: float, seed: int, epoch: int) -> None:
    num = max(1, int(batch * batches))
    order = EpochOrder(num_samples=num, global_batch=batch, seed=seed)
    ids = whole_epoch(order, epoch)
    counts = np.bincount(ids, minlength=num)
    assert len(counts) == num
    assert counts.min() >= 1
    assert len(ids) == -(-num // batch) * batch
    assert counts.sum() - num < batch
    if num >= batch:
        assert counts.max() <= 2


@given(st.integers(65, 20_000), st.integers(1, 64), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_no_sample_comes_twice_in_one_batch(num: int, batch: int, seed: int) -> None:
    order = EpochOrder(num_samples=num, global_batch=batch, seed=seed)
    last = order.batch(0, order.steps_per_epoch - 1)
    assert len(np.unique(last)) == batch


def test_a_batch_larger_than_the_dataset_repeats_samples_evenly() -> None:
    counts = Counter(EpochOrder(num_samples=10, global_batch=64, seed=0).batch(0, 0).tolist())
    assert set(counts) == set(range(10))
    assert set(counts.values()) == {6, 7}


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 8, 12, 24])
def test_ranks_of_any_world_share_the_same_global_batch(world_size: int) -> None:
    order = EpochOrder(num_samples=50_000, global_batch=48, seed=5)
    whole = order.batch(3, 57)
    parts = [whole[rank_slice(48, rank=rank, world_size=world_size)] for rank in range(world_size)]
    assert {len(part) for part in parts} == {48 // world_size}
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_world_that_does_not_divide_the_batch_is_refused_with_what_would_fit() -> None:
    with pytest.raises(SettingsError, match=r"global batch of 100 .* among 8 processes.*96 or 104"):
        rank_slice(100, rank=0, world_size=8)
    with pytest.raises(SettingsError, match="ranks run from 0 to 3"):
        rank_slice(100, rank=4, world_size=4)


def test_epochs_differ_and_seeds_are_not_added_to_them() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        return EpochOrder(num_samples=100_000, global_batch=64, seed=seed).batch(epoch, 0).tolist()

    orders = {(seed, epoch): tuple(first(seed, epoch)) for seed in (41, 42, 43, 44) for epoch in range(4)}
    assert len(set(orders.values())) == len(orders)
    assert len(set(first(42, 1)) & set(first(43, 0))) < 4


def test_the_order_is_golden() -> None:
    order = EpochOrder(num_samples=10_007, global_batch=16, seed=7)
    assert order.batch(0, 0).tolist() == [
        1788, 9444, 669, 4486, 8344, 6709, 4352, 6874, 9372, 7169, 3789, 7607, 7663, 8299, 867, 7916,
    ]  # fmt: skip
    assert order.batch(2, 300).tolist() == [
        4574, 3215, 7852, 2584, 9400, 6911, 12, 8149, 1686, 215, 678, 5163, 71, 8605, 4241, 6347,
    ]  # fmt: skip
    assert order.batch(1, order.steps_per_epoch - 1).tolist() == [
        2683, 3557, 2132, 2672, 4740, 1344, 5724, 5582, 5612, 4212, 7910, 7392, 4573, 5070, 3024, 6682,
    ]  # fmt: skip
    huge = EpochOrder(num_samples=10**9, global_batch=8, seed=7)
    assert huge.batch(3, 10**8).tolist() == [
        353336397, 90224096, 826075043, 332981124, 372125567, 936080538, 807331534, 909249074,
    ]  # fmt: skip


def test_nothing_grows_with_the_number_of_samples() -> None:
    order = EpochOrder(num_samples=10**9, global_batch=4096, seed=0)
    tracemalloc.start()
    steps = (0, order.steps_per_epoch // 2, order.steps_per_epoch - 2, order.steps_per_epoch - 1)
    ids = [order.batch(1, step) for step in steps]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
    assert all(0 <= batch.min() <= batch.max() < 10**9 for batch in ids)


def test_batches_of_a_dataset_sorted_by_label_are_nearly_as_mixed_as_random_ones() -> None:
    # 1000 classes of 1000 neighbours each: a batch of 1024 random samples has 641 classes, this order about 609.
    order = EpochOrder(num_samples=10**6, global_batch=1024, seed=3)
    distinct = [len(np.unique(order.batch(0, step) // 1000)) for step in range(0, 970, 20)]
    assert 600 < np.mean(distinct) < 645


def test_a_lane_reads_each_block_within_one_group() -> None:
    order = EpochOrder(num_samples=64 * BLOCK * 64, global_batch=64, seed=1)
    lane = np.array([order.batch(0, step)[17] for step in range(2 * GROUP // 64)]) // BLOCK
    assert order.num_lanes == 64
    assert len(np.unique(lane)) <= 64


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_lanes_divide_the_batch_and_leave_eight_blocks_each(batch: int, blocks: int) -> None:
    lanes = lanes_for(batch, blocks)
    assert batch % lanes == 0
    assert 1 <= lanes <= 64
    assert lanes == 1 or blocks // lanes >= 8


@pytest.mark.parametrize(("epoch", "step"), [(-1, 0), (0, -1), (0, 11), (3, 1000)])
def test_an_address_outside_the_epoch_is_an_error(epoch: int, step: int) -> None:
    with pytest.raises(IndexError, match=r"steps 0\.\.10"):
        EpochOrder(num_samples=1100, global_batch=100, seed=0).batch(epoch, step)


def test_an_empty_dataset_and_an_empty_batch_are_refused() -> None:
    with pytest.raises(SettingsError, match="without samples"):
        EpochOrder(num_samples=0, global_batch=1, seed=0)
    with pytest.raises(SettingsError, match="at least 1"):
        EpochOrder(num_samples=10, global_batch=0, seed=0)


def test_sequential_order_takes_every_sample_once_in_order() -> None:
    order = SequentialOrder(num_samples=10, batch_size=4)
    ids = np.concatenate([order.batch(0, step) for step in range(order.steps_per_epoch)])
    assert ids.tolist() == list(range(10))
