import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.near_duplicates import near_duplicates
from ingest.perceptual import FLAT


def named(hashes: Sequence[int]) -> list[str]:
    return [f"picture-{number}" for number in range(len(hashes))]


def one_by_one(keys: Sequence[str], hashes: Sequence[int], *, bits: int) -> dict[str, str]:
    """The definition, word by word."""
    kept: list[int] = []
    found: dict[str, str] = {}
    for place, value in enumerate(hashes):
        near = [other for other in kept if value != FLAT and (value ^ hashes[other]).bit_count() <= bits]
        if near:
            found[keys[place]] = keys[near[0]]
        elif value != FLAT:
            kept.append(place)
    return found


@st.composite
def families(draw: st.DrawFn) -> list[int]:
    """Hashes of which some are copies of others with a few bits changed."""
    hashes = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12))
    for _ in range(draw(st.integers(0, 40))):
        changed = draw(st.sets(st.integers(0, 63), max_size=6))
        hashes.append(draw(st.sampled_from(hashes)) ^ sum(1 << bit for bit in changed))
    return draw(st.permutations(hashes))


@given(families(), st.integers(0, 16))
def test_the_search_finds_what_comparing_every_pair_finds(hashes: list[int], bits: int) -> None:
    assert near_duplicates(named(hashes), hashes, bits=bits) == one_by_one(named(hashes), hashes, bits=bits)


@pytest.mark.parametrize("bits", [0, 3, 4, 9, 16])
def test_many_blocks_of_hashes_are_decided_as_if_one_by_one(bits: int) -> None:
    numbers = random.Random(bits)
    hashes = [numbers.getrandbits(64) for _ in range(2500)]
    for _ in range(900):
        changed = numbers.sample(range(64), numbers.randrange(bits + 3))
        hashes.append(numbers.choice(hashes) ^ sum(1 << bit for bit in changed))
    numbers.shuffle(hashes)
    found = near_duplicates(named(hashes), hashes, bits=bits)
    assert found == one_by_one(named(hashes), hashes, bits=bits)
    assert len(found) > 200


def test_no_two_kept_pictures_are_near() -> None:
    chain = [0b1, 0b11, 0b111, 0b1111, 0b11111]  # each near the one before, the ends far apart
    assert near_duplicates(list("abcde"), chain, bits=1) == {"b": "a", "d": "c"}


def test_a_duplicate_of_a_duplicate_that_is_not_near_the_kept_one_is_kept() -> None:
    assert near_duplicates(["first", "second", "third"], [0b1, 0b111, 0b11111], bits=2) == {"second": "first"}


def test_the_order_decides_who_is_kept() -> None:
    assert near_duplicates(["a", "b"], [5, 4], bits=1) == {"b": "a"}
    assert near_duplicates(["b", "a"], [4, 5], bits=1) == {"a": "b"}


def test_flat_pictures_are_duplicates_of_nothing_and_of_nobody() -> None:
    assert near_duplicates(list("abcd"), [FLAT, FLAT, 1, FLAT], bits=4) == {}


def test_the_top_bit_counts_like_every_other() -> None:
    assert near_duplicates(["a", "b"], [2**63 | 1, 1], bits=0) == {}
    assert near_duplicates(["a", "b"], [2**63 | 1, 1], bits=1) == {"b": "a"}


def test_nothing_has_no_duplicates() -> None:
    assert near_duplicates([], [], bits=4) == {}
