"""The orders in which maskloom and its peers go through a dataset, as ids, without reading anything.

`WINDOW` is what all of them may hold at a time; where a library has readers that shuffle on their own, `READERS` of them
share it. Shuffling is done by the library's own code, except for Energon, whose buffers cannot be had without tars: its
slices, parallel iterators and buffer are written down here after `sample_loader.py` and `shuffle_buffer_dataset.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.order import SampleOrder, Shuffle
from shards.schema import BLOCK

Ids = npt.NDArray[np.int64]

WINDOW = 262_144
READERS = 32
LOCAL_BATCH = 32
_SLICE, _OPEN_SLICES = 100, 16


def uniform(samples: int, shard: int) -> Ids:
    """Return a random permutation: what a shuffle can be at best."""
    return np.random.default_rng(0).permutation(samples)


def maskloom(samples: int, shard: int) -> Ids:
    """Return the default order."""
    return SampleOrder(num_samples=samples, seed=0).ids(0, samples)


def maskloom_narrow(samples: int, shard: int) -> Ids:
    """Return the order with a sixteenth of the window."""
    narrow = Shuffle(lanes=WINDOW // 16 // BLOCK // 4, group_blocks=4)
    return SampleOrder(num_samples=samples, seed=0, shuffle=narrow).ids(0, samples)


def mosaicml(samples: int, shard: int, *, algorithm: str, nodes: int) -> Ids:
    """Return the order of MosaicML Streaming, a global batch being as much of every canonical node."""
    from streaming.base.shuffle import get_shuffle

    sizes = np.full(samples // shard, shard, np.int64)
    ids = get_shuffle(algorithm, sizes, nodes, 9176, 0, WINDOW // nodes)
    return np.asarray(ids[ids >= 0], np.int64).reshape(nodes, -1).T.reshape(-1)


def litdata(samples: int, shard: int) -> Ids:
    """Return the order of litdata: chunks dealt out to readers, samples shuffled inside a chunk."""
    from litdata.streaming.shuffle import FullShuffle
    from litdata.utilities.env import _DistributedEnv

    shuffle = FullShuffle(_Chunks(samples, shard), seed=42, drop_last=False)  # type: ignore[arg-type]
    environment = _DistributedEnv(world_size=1, global_rank=0, num_nodes=1)
    chunks, intervals = shuffle.get_chunks_and_intervals_per_workers(environment, READERS, LOCAL_BATCH, 1)
    readers = [
        chain.from_iterable(
            shuffle(np.arange(interval[1], interval[2]), len(own), 1, chunk)
            for chunk, interval in zip(own, parts, strict=True)
        )
        for own, parts in zip(chunks, intervals, strict=True)
    ]
    return _taken_in_turn(readers)


class _Chunks:
    """What litdata's shuffle asks its cache."""

    _reader = None

    def __init__(self, samples: int, chunk: int) -> None:
        self._starts = range(0, samples, chunk)
        self._stops = [min(start + chunk, samples) for start in self._starts]

    def get_chunk_intervals(self) -> list[Any]:
        """Return the samples of each chunk as litdata has them."""
        from litdata.streaming.item_loader import Interval

        return [Interval(start, start, stop, stop) for start, stop in zip(self._starts, self._stops, strict=True)]


def litdata_wide(samples: int, shard: int) -> Ids:
    """Return the order of litdata with chunks as large as its share of the window, which it has to be written with."""
    return litdata(samples, WINDOW // READERS)


def webdataset(samples: int, shard: int) -> Ids:
    """Return the order of webdataset: readers with shards of their own, shuffled, and a buffer each."""
    from webdataset.filters import _shuffle

    shards = list(range(samples // shard))
    random.Random(0).shuffle(shards)
    size = WINDOW // READERS
    readers = []
    for reader in range(READERS):
        ids = chain.from_iterable(range(own * shard, (own + 1) * shard) for own in shards[reader::READERS])
        readers.append(_shuffle(iter(ids), bufsize=size, initial=size, seed=reader))
    return _taken_in_turn(readers)


def energon(samples: int, shard: int) -> Ids:
    """Return the order of Energon: a run of samples for every reader, cut in slices, 16 of them open, and a buffer."""
    bounds = np.linspace(0, samples, READERS + 1).astype(int).tolist()
    return _taken_in_turn(
        [
            _buffered(_sliced(first, last, random.Random(reader)), WINDOW // READERS, random.Random(-reader - 1))
            for reader, (first, last) in enumerate(pairwise(bounds))
        ]
    )


def _sliced(first: int, last: int, draw: random.Random) -> Iterator[int]:
    starts = list(range(first, last, _SLICE))
    draw.shuffle(starts)
    waiting = (iter(range(start, min(start + _SLICE, last))) for start in starts)
    opened = list(islice(waiting, _OPEN_SLICES))
    while opened:
        place = draw.randrange(len(opened))
        sample = next(opened[place], None)
        if sample is not None:
            yield sample
        elif (another := next(waiting, None)) is not None:
            opened[place] = another
        else:
            del opened[place]


def _buffered(samples: Iterator[int], size: int, draw: random.Random) -> Iterator[int]:
    buffer: list[int] = []
    for sample in samples:
        buffer.append(sample)
        if len(buffer) >= size:
            yield buffer.pop(draw.randrange(len(buffer)))
    while buffer:
        yield buffer.pop(draw.randrange(len(buffer)))


def grain(samples: int, shard: int) -> Ids:
    """Return the global order of grain, which may need the whole dataset at any time."""
    from grain.experimental import index_shuffle

    return np.array([index_shuffle(place, samples - 1, 0, 4) for place in range(samples)])


def grain_window(samples: int, shard: int) -> Ids:
    """Return the order of grain's shuffle inside windows."""
    from grain import MapDataset
    from grain.experimental import WindowShuffleMapDataset

    shuffled = WindowShuffleMapDataset(MapDataset.range(samples), window_size=WINDOW, seed=0)
    whole = samples // WINDOW * WINDOW
    return np.array([shuffled[place] for place in range(whole)])


def _taken_in_turn(readers: Sequence[Iterator[int]]) -> Ids:
    """Return what readers yield, a local batch of each in turn, as a loader with so many workers or ranks does."""
    found: list[int] = []
    running = [iter(reader) for reader in readers]
    while running:
        parts = [list(islice(reader, LOCAL_BATCH)) for reader in running]
        running = [reader for reader, part in zip(running, parts, strict=True) if part]
        found.extend(chain.from_iterable(parts))
    return np.array(found, np.int64)


Order = Callable[[int, int], Ids]
"""From the number of samples and the size of a shard to the ids in their order."""

ORDERS: Mapping[str, tuple[str, Order]] = {
    "uniform permutation": ("numpy", uniform),
    f"maskloom, {Shuffle().lanes} lanes x {Shuffle().group_blocks} blocks": ("pipelines", maskloom),
    f"maskloom, {WINDOW // 16:,} samples held": ("pipelines", maskloom_narrow),
    "mosaicml py1e": ("streaming", lambda n, shard: mosaicml(n, shard, algorithm="py1e", nodes=1)),
    "mosaicml py1e, 8 nodes": ("streaming", lambda n, shard: mosaicml(n, shard, algorithm="py1e", nodes=8)),
    "mosaicml py1br": ("streaming", lambda n, shard: mosaicml(n, shard, algorithm="py1br", nodes=1)),
    "mosaicml py1br, 8 nodes": ("streaming", lambda n, shard: mosaicml(n, shard, algorithm="py1br", nodes=8)),
    "webdataset, 32 buffers": ("webdataset", webdataset),
    "energon, 32 buffers (transcribed)": ("numpy", energon),
    "litdata, 32 readers": ("litdata", litdata),
    "litdata, 32 readers, wide chunks": ("litdata", litdata_wide),
    "grain, in windows": ("grain", grain_window),
    "grain, global (whole dataset)": ("grain", grain),
}
"""For each order, the module that it needs."""
