"""Keyed permutations of 0 .. n-1 that are computed place by place: nothing of size n is ever built.

A balanced Feistel network over two digits of radix about sqrt(n), with modular addition in place of exclusive or
(Black, Rogaway: Ciphers with Arbitrary Finite Domains, CT-RSA 2002, the generalised Feistel cipher). The domain of the
network exceeds n by less than sqrt(n); the few values that land beyond n are sent round again (cycle walking, ibid.).
"""

import numpy as np
import numpy.typing as npt

from pipelines.randomness import GOLDEN_GAMMA, UInt64s

Int64s = npt.NDArray[np.int64]

ROUNDS = 8
"""Even. In groups of 4096 no test of pairs of places tells the result from a random order. With fewer than ten places
some orders are likelier than others, by a sixth or so; twice the rounds would even that out, at twice the cost."""

PLACES_AT_ONCE = 1 << 14
"""Places that are sent together: their intermediate values stay in the cache, which halves the time."""

_HALF = np.uint64(32)
_FIRST = np.uint64(0xFF51AFD7ED558CCD)
_SECOND = np.uint64(0xC4CEB9FE1A85EC53)


def permute(places: Int64s, *, size: int | Int64s, key: int | UInt64s) -> Int64s:
    """Return where the permutation `key` of 0 .. size-1 sends each of `places`.

    `size` (1 .. 2**62) and `key` (64 bits, a hash) may differ from place to place; the result for one place depends on its
    own size and key alone. Every place has to lie in 0 .. size-1.
    """
    sizes = np.atleast_1d(np.asarray(size, dtype=np.uint64))
    keys = np.atleast_1d(np.asarray(key, dtype=np.uint64))
    if places.size <= PLACES_AT_ONCE:
        return _permuted(places, sizes, keys) if places.size else places
    parts = (slice(start, start + PLACES_AT_ONCE) for start in range(0, places.size, PLACES_AT_ONCE))
    return np.concatenate([_permuted(places[part], _at(sizes, part), _at(keys, part)) for part in parts])


def _permuted(places: Int64s, sizes: UInt64s, keys: UInt64s) -> Int64s:
    sent = _network(places.astype(np.uint64), sizes, keys)
    beyond = np.flatnonzero(sent >= sizes)
    while beyond.size:
        sizes_beyond, keys_beyond = _at(sizes, beyond), _at(keys, beyond)
        sent[beyond] = _network(sent[beyond], sizes_beyond, keys_beyond)
        beyond = beyond[sent[beyond] >= sizes_beyond]
    return sent.astype(np.int64)


def _network(values: UInt64s, sizes: UInt64s, keys: UInt64s) -> UInt64s:
    """Permute 0 .. rows * columns - 1, the smallest near-square that holds `sizes` values."""
    rows = np.ceil(np.sqrt(sizes.astype(np.float64))).astype(np.uint64)
    columns = (sizes + rows - np.uint64(1)) // rows
    left, right = np.divmod(values, columns)
    for _ in range(0, ROUNDS, 2):
        left = _shifted(left, by=right, radix=rows, keys=keys)
        keys = keys + GOLDEN_GAMMA
        right = _shifted(right, by=left, radix=columns, keys=keys)
        keys = keys + GOLDEN_GAMMA
    sent: UInt64s = left * columns + right
    return sent


def _shifted(digits: UInt64s, *, by: UInt64s, radix: UInt64s, keys: UInt64s) -> UInt64s:
    """Add to each digit, modulo `radix`, a pseudo-random number that depends on the other digit and the round's key."""
    mixed = (by + keys) * _FIRST
    mixed ^= mixed >> _HALF
    mixed *= _SECOND
    mixed >>= _HALF
    mixed *= radix
    mixed >>= _HALF
    mixed += digits
    # Where the sum is below the radix, subtracting wraps round to a huge number: the smaller one is the remainder.
    remainder: UInt64s = np.minimum(mixed, mixed - radix)
    return remainder


def _at(values: UInt64s, indices: npt.NDArray[np.intp] | slice) -> UInt64s:
    return values if values.size == 1 else values[indices]
