"""Packing: samples of different lengths are put together so that every pack holds nearly as many tokens as it may.

Packs are planned from lengths that the index knows, before anything is decoded: windows of samples in the order of the
stream are packed one after the other, so the packs are the same for every number of ranks and workers, and a stream
resumes at any of them.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.permutation import Int64s, permute
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class FactLength:
    """How many tokens a sample has, by one of the facts in the index: ceil(fact / per_token) * times + extra.

    Args:
        column: The fact, such as `logmel.frames` or `text.longest`; a sample without it has no tokens of that kind.
        per_token: How much of the fact makes one token.
        times: Tokens side by side, such as the bands of a spectrogram.
        extra: Tokens that come in addition, such as the marks of beginning and end.
        at_most: The most tokens that are ever taken; longer samples are cut.

    Raises:
        SettingsError: A number makes no sense.
    """

    column: str
    at_most: int
    per_token: int = 1
    times: int = 1
    extra: int = 0

    def __post_init__(self) -> None:
        if self.per_token <= 0 or self.times < 1 or self.extra < 0 or self.at_most < 1:
            raise SettingsError(
                f"The length of '{self.column}' has per_token {self.per_token}, times {self.times}, extra {self.extra} and "
                f"at_most {self.at_most}; give positive numbers, and 0 or more for extra."
            )

    def tokens(self, facts: npt.NDArray[np.float64]) -> Int64s:
        """Return the tokens of samples whose fact is `facts`; one that is negative or NaN is that of an absent field."""
        is_there = facts >= 0
        counted = np.ceil(np.where(is_there, facts, 0) / self.per_token).astype(np.int64) * self.times + self.extra
        return np.where(is_there, np.minimum(counted, self.at_most), 0)


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Packs of at most `capacity` tokens.

    Args:
        capacity: Tokens that fit into a pack.
        lengths: What is counted, by any name; the length of a sample is the sum. A sample without a token counts as one.
        window: Samples that are packed together; more fill better and shuffle more widely.

    Raises:
        SettingsError: A sample could be longer than a pack, or a window is empty.
    """

    capacity: int
    lengths: Mapping[str, FactLength]
    window: int = 8192

    def __post_init__(self) -> None:
        longest = sum(length.at_most for length in self.lengths.values())
        if not self.lengths or longest > self.capacity:
            raise SettingsError(
                f"Packs of {self.capacity} tokens were asked for samples of up to {longest} tokens "
                f"({', '.join(self.lengths) or 'of nothing'}); a pack has to hold at least one sample."
            )
        if self.window < 1:
            raise SettingsError(f"A window of {self.window} samples cannot be packed; give at least 1.")

    def describe(self) -> str:
        """Return in one line everything that decides the packs."""
        lengths = (
            f"{length.column}/{length.per_token}*{length.times}+{length.extra}<={length.at_most}"
            for length in self.lengths.values()
        )
        return f"{self.capacity} tokens, {self.window} samples: {', '.join(lengths)}"


def pack(lengths: Int64s, *, capacity: int) -> Int64s:
    """Return the pack of each sample: the longest samples first, each into the fullest pack that has room for it.

    Best fit decreasing (Johnson et al., SIAM J. Comput. 3, 1974). Equal lengths go by place. Packs are numbered in the
    order they are begun. Every length has to lie in 1 .. capacity.
    """
    assert len(lengths) == 0 or 1 <= lengths.min() <= lengths.max() <= capacity, (lengths, capacity)
    packs = np.empty(len(lengths), np.int64)
    by_room: defaultdict[int, list[int]] = defaultdict(list)
    rooms = 0  # bit r is set where some pack has room for exactly r tokens
    begun = 0
    order = np.argsort(-lengths, kind="stable")
    for place, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            chosen = by_room[room].pop()
            rooms ^= 0 if by_room[room] else 1 << room
        else:
            room, chosen, begun = capacity, begun, begun + 1
        packs[place] = chosen
        if room > length:
            by_room[room - length].append(chosen)
            rooms |= 1 << (room - length)
    return packs


def shuffled_packs(lengths: Int64s, *, capacity: int, key: int) -> Int64s:
    """Return the pack of each sample as `pack` does, with the packs renumbered by the permutation `key`.

    Packs that are begun first hold the longest samples; in a random order, every batch has its share of them.
    """
    packs = pack(lengths, capacity=capacity)
    count = int(packs.max()) + 1
    return permute(np.arange(count), size=count, key=key)[packs]


def dealt_packs(costs: Int64s, *, world_size: int) -> Int64s:
    """Return the rank of each pack of a batch: as many packs to each rank, and about as much cost.

    From the costliest to the cheapest, packs are dealt out forth and back. The number of packs is a multiple of
    `world_size`.
    """
    ranks = np.empty(len(costs), np.int64)
    places = np.arange(len(costs))
    turns, seats = np.divmod(places, world_size)
    ranks[np.argsort(-costs, kind="stable")] = np.where(turns % 2 == 0, seats, world_size - 1 - seats)
    return ranks
