from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.permutation import permute
from pipelines.randomness import hash_key

KEY = st.integers(0, 2**64 - 1)


@given(st.integers(1, 5000), KEY)
def test_it_is_a_bijection_for_any_size(size: int, key: int) -> None:
    sent = permute(np.arange(size), size=size, key=key)
    np.testing.assert_array_equal(np.sort(sent), np.arange(size))


@given(st.integers(1, 2**62), KEY, st.data())
def test_distinct_places_stay_distinct_and_in_range_at_any_size(size: int, key: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True))
    sent = permute(np.array(places), size=size, key=key)
    assert len(set(sent.tolist())) == len(places)
    assert sent.min() >= 0
    assert sent.max() < size


@given(st.lists(st.tuples(st.integers(1, 300), KEY, st.floats(0, 1, exclude_max=True)), min_size=1, max_size=40))
@settings(max_examples=50)
def test_a_place_depends_on_its_own_size_and_key_alone(rows: list[tuple[int, int, float]]) -> None:
    sizes, keys = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.uint64)
    places = np.array([int(row[2] * row[0]) for row in rows])
    alone = [
        int(permute(np.array([place]), size=int(size), key=int(key))[0])
        for place, size, key in zip(places, sizes, keys, strict=True)
    ]
    assert permute(places, size=sizes, key=keys).tolist() == alone


def test_it_is_golden() -> None:
    assert permute(np.arange(10), size=10, key=hash_key("golden")).tolist() == [4, 8, 5, 3, 2, 6, 9, 7, 1, 0]


def test_all_orders_of_four_are_equally_likely() -> None:
    found = Counter(tuple(permute(np.arange(4), size=4, key=hash_key(number)).tolist()) for number in range(2400))
    chi_squared = sum((count - 100) ** 2 / 100 for count in found.values()) / 23
    assert len(found) == 24
    assert chi_squared < 2.2


def test_where_a_place_is_sent_does_not_tell_where_its_neighbours_are_sent() -> None:
    sent = np.stack([permute(np.arange(4096), size=4096, key=hash_key(number)) for number in range(60)])
    regions = np.zeros((64, 64))
    np.add.at(regions, (np.broadcast_to(np.arange(4096) // 64, sent.shape), sent // 64), 1)
    assert 0.85 < ((regions - 60) ** 2 / 60).sum() / 63**2 < 1.15
    assert abs(np.corrcoef(sent[:, :-1].ravel(), sent[:, 1:].ravel())[0, 1]) < 0.01
