"""Keyed randomness: every draw is a pure function of what it is for, never of who makes it, when, or how often.

A draw depends on `(seed, epoch, key, purpose)` alone, so that a view or a mask is the same on any worker, any rank and
after any resume. Parts are hashed together, never added: seed 42 in epoch 1 has nothing to do with seed 43 in epoch 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash
from numpy.random.bit_generator import ISeedSequence

UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Odd constant nearest to 2**64 / golden ratio: the step of a splitmix64 counter."""

_SEPARATOR = "\0"


def hash_key(*parts: int | str) -> int:
    """Hash `parts` together to an integer in [0, 2**64); only the last part may contain a NUL character."""
    return xxhash.xxh3_64_intdigest(_joined(parts))


def generator_for(*, seed: int, epoch: int, key: str, purpose: str) -> np.random.Generator:
    """Return a Philox generator keyed by the 128-bit xxh3 of `(seed, epoch, purpose, key)`; about 6 us.

    For many samples at once, `Draws` is ten times cheaper per sample.
    """
    digest = xxhash.xxh3_128_digest(_joined((seed, epoch, purpose, key)))
    return np.random.Generator(np.random.Philox(_PhiloxKey(digest)))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What the samples of a batch draw: row i depends on `(seed, epoch, key)` of sample i and on the purpose, nothing else.

    A counter-based generator without state: a hash of seed, epoch and key is the sample's ticket; ticket and purpose start
    a splitmix64 sequence (Steele, Lea, Flood, OOPSLA 2014). All rows are made in one vectorised pass.

    Args:
        tickets: One hash per sample, uint64 [batch].
    """

    tickets: UInt64s

    @classmethod
    def of(cls, keys: Sequence[str], *, epochs: Iterable[int], seed: int) -> "Draws":
        """Return the draws of the samples `keys`, each in its own one of `epochs`."""
        starts, digest = _EpochStarts(seed), xxhash.xxh3_64_intdigest
        tickets = [digest(key.encode(), starts[epoch]) for key, epoch in zip(keys, epochs, strict=True)]
        return cls(tickets=np.array(tickets, np.uint64))

    def __len__(self) -> int:
        return len(self.tickets)

    def hashes(self, purpose: str) -> UInt64s:
        """Return one hash per sample, uint64 [batch], such as the key of a permutation of its own."""
        return mix64(self.tickets ^ np.uint64(hash_key(purpose)))

    def uniforms(self, count: int, *, purpose: str) -> Floats:
        """Return uniform numbers in [0, 1), float64 [batch, count]: column j is the j-th output of each sequence."""
        counters = GOLDEN_GAMMA * np.arange(1, count + 1, dtype=np.uint64)
        bits = mix64(self.hashes(purpose)[:, None] + counters)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


class _EpochStarts(dict[int, int]):
    """The hash of seed and epoch, by epoch: computed once for all samples of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def __missing__(self, epoch: int) -> int:
        self[epoch] = start = hash_key(self._seed, epoch)
        return start


def mix64(values: UInt64s) -> UInt64s:
    """Scramble each 64-bit value: the bijective finaliser of splitmix64."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _joined(parts: Sequence[int | str]) -> bytes:
    return _SEPARATOR.join(map(str, parts)).encode()


class _PhiloxKey(ISeedSequence):
    """Hands a digest to Philox as its key. `Philox(key=...)` means the same, but first asks the system for entropy."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> UInt64s:
        """Return the 128 bits of the key; Philox asks for exactly two 64-bit words."""
        assert n_words == 2, n_words
        assert dtype is np.uint64, dtype
        return self._words
