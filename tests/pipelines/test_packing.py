import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.packing import FactLength, Packing, dealt_packs, pack, shuffled_packs
from shards.errors import SettingsError

lengths_and_capacity = st.integers(1, 200).flatmap(
    lambda capacity: st.tuples(
        st.lists(st.integers(1, capacity), min_size=1, max_size=300).map(np.array), st.just(capacity)
    )
)


def slowly_packed(lengths: list[int], capacity: int) -> list[int]:
    """Best fit decreasing as the definition reads."""
    rooms: list[int] = []
    packs = [0] * len(lengths)
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        fitting = [number for number, room in enumerate(rooms) if room >= lengths[place]]
        if not fitting:
            rooms.append(capacity)
            fitting = [len(rooms) - 1]
        packs[place] = min(fitting, key=lambda number: rooms[number])
        rooms[packs[place]] -= lengths[place]
    return packs


@given(lengths_and_capacity)
@settings(deadline=None)
def test_no_pack_is_overfull_and_none_is_empty(case: tuple[np.ndarray, int]) -> None:
    lengths, capacity = case
    sums = np.bincount(pack(lengths, capacity=capacity), weights=lengths)
    assert 1 <= sums.min() <= sums.max() <= capacity


@given(lengths_and_capacity)
@settings(deadline=None)
def test_as_many_packs_are_made_as_by_best_fit_decreasing(case: tuple[np.ndarray, int]) -> None:
    lengths, capacity = case
    assert pack(lengths, capacity=capacity).max() == max(slowly_packed(lengths.tolist(), capacity))


def test_packs_of_samples_of_all_lengths_are_full() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 0.7, 8192).clip(1, 1024).astype(np.int64)
    packs = pack(lengths, capacity=1024)
    assert lengths.sum() / (1024 * (packs.max() + 1)) > 0.995


def test_packs_are_golden() -> None:
    assert pack(np.array([5, 3, 8, 2, 9, 4, 1]), capacity=10).tolist() == [2, 3, 1, 1, 0, 2, 2]


@given(lengths_and_capacity, st.integers(0, 2**63))
@settings(deadline=None)
def test_shuffling_gives_packs_other_numbers_and_nothing_else(case: tuple[np.ndarray, int], key: int) -> None:
    lengths, capacity = case
    plain, shuffled = pack(lengths, capacity=capacity), shuffled_packs(lengths, capacity=capacity, key=key)
    assert np.unique(shuffled).tolist() == list(range(plain.max() + 1))
    assert len(np.unique(np.stack([plain, shuffled]), axis=1).T) == plain.max() + 1


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 2**31))
def test_ranks_get_as_many_packs_and_nearly_as_much_cost(world_size: int, each: int, seed: int) -> None:
    costs = np.random.default_rng(seed).integers(1, 1000, world_size * each)
    ranks = dealt_packs(costs, world_size=world_size)
    assert np.bincount(ranks, minlength=world_size).tolist() == [each] * world_size
    sums = np.bincount(ranks, weights=costs)
    assert sums.max() - sums.min() <= costs.max()


def test_lengths_follow_from_facts() -> None:
    length = FactLength(column="logmel.frames", per_token=16, times=8, extra=1, at_most=100)
    assert length.tokens(np.array([0.0, 1, 16, 17, 5000, -1, np.nan])).tolist() == [1, 9, 9, 17, 100, 0, 0]


def test_a_pack_that_could_not_hold_the_longest_sample_is_refused() -> None:
    length = FactLength(column="logmel.frames", at_most=100)
    with pytest.raises(SettingsError, match=r"Packs of 99 tokens .* up to 100 tokens \(sound\)"):
        Packing(capacity=99, lengths={"sound": length})
    with pytest.raises(SettingsError, match="of nothing"):
        Packing(capacity=99, lengths={})
    with pytest.raises(SettingsError, match="window of 0"):
        Packing(capacity=100, lengths={"sound": length}, window=0)
    with pytest.raises(SettingsError, match="per_token 0"):
        FactLength(column="text.characters", at_most=5, per_token=0)
