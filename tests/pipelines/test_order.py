import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.order import SampleOrder, Shuffle, rank_slice
from shards.errors import SettingsError
from shards.schema import BLOCK

shuffles = st.builds(Shuffle, lanes=st.integers(1, 80), group_blocks=st.integers(1, 80))


@given(st.integers(1, 30_000), st.integers(0, 2**31), st.integers(0, 5), shuffles)
@settings(max_examples=60, deadline=None)
def test_every_epoch_visits_every_sample_exactly_once(num: int, seed: int, epoch: int, shuffle: Shuffle) -> None:
    order = SampleOrder(num_samples=num, seed=seed, shuffle=shuffle)
    ids = order.ids(epoch * num, num)
    assert np.array_equal(np.sort(ids), np.arange(num))


@given(st.integers(1, 5_000), st.integers(0, 20_000), st.lists(st.integers(0, 700), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_runs_of_positions_join_to_the_same_order(num: int, first: int, sizes: list[int]) -> None:
    order = SampleOrder(num_samples=num, seed=5)
    starts = first + np.concatenate([[0], np.cumsum(sizes)])
    parts = [order.ids(int(start), size) for start, size in zip(starts, sizes, strict=False)]
    assert np.array_equal(np.concatenate(parts), order.ids(first, sum(sizes)))


def test_a_position_belongs_to_the_epoch_that_it_has_reached() -> None:
    order = SampleOrder(num_samples=10, seed=0)
    assert order.epochs(8, 15).tolist() == [0, 0, *[1] * 10, 2, 2, 2]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 8, 12, 24])
def test_ranks_of_any_world_share_the_same_batch(world_size: int) -> None:
    parts = [rank_slice(48, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {part.stop - part.start for part in parts} == {48 // world_size}
    assert [place for part in parts for place in range(48)[part]] == list(range(48))


def test_a_world_that_does_not_divide_the_batch_is_refused_with_what_would_fit() -> None:
    with pytest.raises(SettingsError, match=r"global batch of 100 .* among 8 processes.*96 or 104"):
        rank_slice(100, rank=0, world_size=8)
    with pytest.raises(SettingsError, match="ranks run from 0 to 3"):
        rank_slice(100, rank=4, world_size=4)
    with pytest.raises(SettingsError, match="at least 1"):
        rank_slice(0, rank=0, world_size=1)


def test_epochs_differ_and_seeds_are_not_added_to_them() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        return SampleOrder(num_samples=100_000, seed=seed).ids(epoch * 100_000, 64).tolist()

    orders = {(seed, epoch): tuple(first(seed, epoch)) for seed in (41, 42, 43, 44) for epoch in range(4)}
    assert len(set(orders.values())) == len(orders)
    assert len(set(first(42, 1)) & set(first(43, 0))) < 4


def test_the_order_is_golden() -> None:
    order = SampleOrder(num_samples=10_007, seed=7)
    assert order.ids(0, 8).tolist() == GOLDEN[0]
    assert order.ids(2 * 10_007 + 4_800, 8).tolist() == GOLDEN[1]
    assert order.ids(10_007 - 4, 8).tolist() == GOLDEN[2]
    assert SampleOrder(num_samples=10**9, seed=7).ids(38 * 10**8, 4).tolist() == GOLDEN[3]


def test_nothing_grows_with_the_number_of_samples() -> None:
    order = SampleOrder(num_samples=10**9, seed=0)
    tracemalloc.start()
    batches = [order.ids(first, 4096) for first in (0, 5 * 10**8, 10**9 - 5000, 10**9 - 100, 7 * 10**11)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert all(0 <= batch.min() <= batch.max() < 10**9 for batch in batches)


def test_batches_of_a_dataset_sorted_by_label_are_nearly_as_mixed_as_random_ones() -> None:
    # 1000 classes of 1000 neighbours each: a batch of 1024 random samples has 641 classes.
    order = SampleOrder(num_samples=10**6, seed=3)
    distinct = [len(np.unique(order.ids(1024 * step, 1024) // 1000)) for step in range(0, 976, 5)]
    assert 0.95 * 641 < np.mean(distinct) < 1.05 * 641  # one sample of every lane mixes better than chance
    assert min(distinct) > 0.9 * 641


def test_neighbours_on_disk_do_not_stay_together() -> None:
    order = SampleOrder(num_samples=10**6, seed=3)
    pairs = []
    for step in range(0, 976, 5):
        counts = np.unique(order.ids(1024 * step, 1024) // BLOCK, return_counts=True)[1]
        pairs.append((counts * (counts - 1) / 2).sum())
    at_random = 1024 * 1023 / 2 * (BLOCK - 1) / (10**6 - 1)
    assert np.mean(pairs) < 1.2 * at_random


def test_a_lane_leaves_its_blocks_for_good_when_it_has_passed_through_a_group() -> None:
    shuffle = Shuffle(lanes=8, group_blocks=4)
    order = SampleOrder(num_samples=8 * 12 * BLOCK, seed=1, shuffle=shuffle)
    for number, bounds in ((0, [4, 8]), (3, [3, 7, 11]), (7, [1, 5, 9])):
        lane = order.ids(0, order.num_samples)[number::8] // BLOCK
        groups = np.split(lane, np.array(bounds) * BLOCK)
        assert [len(np.unique(group)) for group in groups] == np.diff([0, *bounds, 12]).tolist()
        assert len(np.unique(lane)) == 12


def test_new_blocks_come_evenly_so_that_no_batch_has_to_wait_for_many() -> None:
    order = SampleOrder(num_samples=16 * 64 * BLOCK, seed=1, shuffle=Shuffle(lanes=16, group_blocks=16))
    seen: set[int] = set()
    fresh = []
    for first in range(0, order.num_samples, 16 * BLOCK):  # as many samples as one block of every lane holds
        blocks = set((order.ids(first, 16 * BLOCK) // BLOCK).tolist())
        fresh.append(len(blocks - seen))
        seen |= blocks
    # The first groups have all to be opened; from then on, as many blocks come as are used up.
    assert max(fresh[1:]) <= 2 * 16
    assert len(seen) == 16 * 64


def test_a_batch_takes_as_many_samples_from_every_lane() -> None:
    order = SampleOrder(num_samples=64 * 200 * BLOCK, seed=1, shuffle=Shuffle(lanes=64, group_blocks=16))
    shares = order.lane_shares(12_345, 256)
    assert np.unique(shares, return_counts=True)[1].tolist() == [4] * 64


def test_each_block_is_read_by_one_rank_where_lanes_can_be_shared_out_evenly() -> None:
    order = SampleOrder(num_samples=16 * 20 * BLOCK, seed=1, shuffle=Shuffle(lanes=16, group_blocks=4))
    readers: dict[int, set[int]] = {}
    for first in range(0, order.num_samples, 64):
        by_lane = np.argsort(order.lane_shares(first, 64), kind="stable")
        for rank, part in enumerate(np.split(order.ids(first, 64)[by_lane], 4)):
            for block in (part // BLOCK).tolist():
                readers.setdefault(block, set()).add(rank)
    assert {len(ranks) for ranks in readers.values()} == {1}


def test_samples_that_are_not_dealt_are_strewn_evenly_over_the_epoch_and_the_ranks() -> None:
    order = SampleOrder(num_samples=100, seed=1)  # one block, and a stub of 36
    is_stub = order.ids(0, 100) >= BLOCK
    assert {int(is_stub[first : first + 25].sum()) for first in range(76)} <= {8, 9, 10}
    shares = np.sort(order.lane_shares(0, 100)[is_stub])
    assert np.diff([0, *shares, 1]).max() < 3 / 36


@given(st.integers(0, 10_000_000), st.integers(1, 200))
def test_small_datasets_have_fewer_lanes_of_about_eight_blocks(num: int, lanes: int) -> None:
    order = SampleOrder(num_samples=num + 1, seed=0, shuffle=Shuffle(lanes=lanes))
    assert 1 <= order.num_lanes <= lanes
    assert order.num_lanes == 1 or (num + 1) // BLOCK // order.num_lanes >= 8


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(SettingsError, match="without samples"):
        SampleOrder(num_samples=0, seed=0)
    with pytest.raises(IndexError, match="position -1"):
        SampleOrder(num_samples=1, seed=0).ids(-1, 1)
    with pytest.raises(SettingsError, match="0 lanes in groups of 4"):
        Shuffle(lanes=0, group_blocks=4)


GOLDEN = (
    [417, 3568, 8244, 4818, 17, 9294, 1980, 9055],
    [4123, 9485, 1639, 3392, 879, 5411, 7129, 8847],
    [6757, 3187, 7597, 9993, 5565, 5797, 6114, 34],
    [70243071, 16026708, 907690231, 510586984],
)
