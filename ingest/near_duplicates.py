"""Which pictures look like an earlier one: a search among 64-bit hashes that spares almost all comparisons.

Two hashes that differ in at most b bits agree entirely in at least r of any b + r bands of bits (the pigeonhole principle;
Norouzi et al., Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012). So only hashes that agree in r bands are
compared, for every choice of r bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from ingest.perceptual import FLAT

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_HASH_BITS = 64
_BLOCK = 1024
"""Hashes among which every pair is compared."""
_TILE = 512
"""Hashes on either side of one comparison of many with many; what it writes stays in the cache."""
_MOST_BANDS = 4
_SECONDS_PER_SORTED, _SECONDS_PER_BUCKET, _SECONDS_PER_PAIR = 3e-7, 1e-5, 1e-9
"""About what steps of the search cost; only their proportions matter, and only for its speed."""
_UNDECIDED = -1


def near_duplicates(keys: Sequence[str], hashes: Sequence[int], *, bits: int) -> dict[str, str]:
    """Return the pictures that look like an earlier one that is kept, each with that one.

    Keys are taken in the given order. One is kept unless its hash differs in at most `bits` bits from that of a key kept
    before; then it belongs to the first such key. So no two kept pictures are near duplicates, and the outcome depends on
    the order alone. Pictures whose hash is FLAT have nothing to compare: all are kept, and nothing belongs to them.

    A million different hashes take half a minute on one core for 4 bits, one minute for 8, two for 10, ten for 16.

    Args:
        keys: Names of the pictures, all different.
        hashes: Their perceptual hashes, unsigned numbers of 64 bits.
        bits: Most bits in which near duplicates differ.
    """
    values = np.array(hashes, dtype=np.uint64)
    with_shape = np.flatnonzero(values != FLAT)
    _, first, same = np.unique(values[with_shape], return_index=True, return_inverse=True)
    by_place = np.argsort(first)
    places = with_shape[first[by_place]]  # of every hash, where it occurs first
    kept_hash = np.empty(len(places), dtype=np.int64)
    kept_hash[by_place] = _leaders(values[places], bits)
    kept = places[kept_hash[same]]
    return {
        keys[place]: keys[leader]
        for place, leader in zip(with_shape.tolist(), kept.tolist(), strict=True)
        if place != leader
    }


def _leaders(hashes: Hashes, bits: int) -> Places:
    """Return the place of the hash that each of these different hashes belongs to: its own if it is kept."""
    leaders = np.full(len(hashes), _UNDECIDED, dtype=np.int64)
    _decide(hashes, leaders, 0, len(hashes), bits)
    return leaders


def _decide(hashes: Hashes, leaders: Places, start: int, stop: int, bits: int) -> None:
    """Decide the hashes from `start` to `stop`, after all near duplicates of those kept before have been."""
    if stop - start <= _BLOCK:
        _decide_one_by_one(hashes, leaders, start, stop, bits)
        return
    middle = (start + stop) // 2
    _decide(hashes, leaders, start, middle, bits)
    kept = start + np.flatnonzero(leaders[start:middle] == np.arange(start, middle))
    open_ = middle + np.flatnonzero(leaders[middle:stop] == _UNDECIDED)
    found = _first_near(hashes[kept], hashes[open_], bits)
    leaders[open_[found < len(kept)]] = kept[found[found < len(kept)]]
    _decide(hashes, leaders, middle, stop, bits)


def _decide_one_by_one(hashes: Hashes, leaders: Places, start: int, stop: int, bits: int) -> None:
    places = start + np.flatnonzero(leaders[start:stop] == _UNDECIDED)
    near = _are_near(hashes[places], hashes[places], bits)
    for number, place in enumerate(places.tolist()):
        if leaders[place] == _UNDECIDED:
            of_this = places[number:][near[number, number:]]
            leaders[of_this[leaders[of_this] == _UNDECIDED]] = place


def _first_near(kept: Hashes, asked: Hashes, bits: int) -> Places:
    """Return, for each hash that is asked for, the first near one among those kept, or their number if there is none."""
    found = np.full(len(asked), len(kept), dtype=np.int64)
    for mask in _masks(_num_bands(bits, len(kept), len(asked)), bits):
        kept_order, asked_order = np.argsort(kept & mask), np.argsort(asked & mask)
        for of_kept, of_asked in _shared_buckets(kept[kept_order] & mask, asked[asked_order] & mask):
            left, right = kept_order[of_kept], asked_order[of_asked]
            near_left, near_right = np.nonzero(_are_near(kept[left], asked[right], bits))
            np.minimum.at(found, right[near_right], left[near_left])
    return found


def _num_bands(bits: int, num_kept: int, num_asked: int) -> int:
    """Return in how many bands, out of `bits` more, hashes should agree to be compared: the cheapest number."""

    def seconds(bands: int) -> float:
        buckets = 2.0 ** (_HASH_BITS * bands // (bits + bands)) if bands else 1.0
        in_bucket = num_kept * num_asked / buckets
        visited = min(buckets, num_kept, num_asked, in_bucket)
        once = _SECONDS_PER_SORTED * (num_kept + num_asked) + _SECONDS_PER_BUCKET * visited
        return comb(bits + bands, bands) * (once + _SECONDS_PER_PAIR * in_bucket)

    return min(range(_MOST_BANDS + 1), key=seconds)


def _masks(bands: int, bits: int) -> Iterator[np.uint64]:
    """Yield the bits of every choice of `bands` out of `bits + bands` bands; neighbouring bits are in different bands."""
    every = bits + bands
    of_band = [sum(1 << bit for bit in range(band, _HASH_BITS, every)) for band in range(every)]
    for chosen in combinations(of_band, bands):
        yield np.uint64(sum(chosen))


def _shared_buckets(kept: Hashes, asked: Hashes) -> Iterator[tuple[slice, slice]]:
    """Yield where equal values stand in two sorted arrays, cut into tiles."""
    values, starts, counts = np.unique(asked, return_index=True, return_counts=True)
    first, last = np.searchsorted(kept, values, side="left"), np.searchsorted(kept, values, side="right")
    is_shared = last > first
    spans = zip(first[is_shared].tolist(), last[is_shared].tolist(), starts[is_shared].tolist(), strict=True)
    for (low, high, start), count in zip(spans, counts[is_shared].tolist(), strict=True):
        for left in range(low, high, _TILE):
            for right in range(start, start + count, _TILE):
                yield slice(left, min(left + _TILE, high)), slice(right, min(right + _TILE, start + count))


def _are_near(left: Hashes, right: Hashes, bits: int) -> npt.NDArray[np.bool_]:
    """Tell of each pair [left, right] whether it differs in at most `bits` bits."""
    near: npt.NDArray[np.bool_] = np.bitwise_count(left[:, None] ^ right[None, :]) <= bits
    return near
