"""What peers compute before they can go on in the middle of an epoch, by their own functions and without data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

SHARD = 1000
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Resume:
    """A part of a peer's resume.

    Args:
        name: What is done, by which library.
        module: The module that it needs.
        samples: How many samples the dataset has.
        run: Does it.
        prepare: What does not count.
    """

    name: str
    module: str
    samples: int
    run: Callable[[], object]
    prepare: Callable[[], object] = field(default=lambda: None)


def mosaicml(samples: int) -> Any:  # noqa: ANN401 - the package is optional
    """Make the order of an epoch and share out what is left of it, as `generate_work` does for one node of 8 ranks."""
    from streaming.base.partition import get_partitions
    from streaming.base.shuffle import get_shuffle

    shuffled = get_shuffle("py1e", np.full(samples // SHARD, SHARD, np.int64), 1, 9176, 0, 1 << 18)
    places = get_partitions("relaxed", samples, 1, 1, 8, 1, BATCH, samples // 2, 1)
    return np.where(places == -1, -1, shuffled[places])


def litdata(samples: int) -> Any:  # noqa: ANN401
    """List all samples of an epoch and deal out what is left of them, as is done when ranks or workers have changed."""
    from litdata.streaming.elastic import canonical_item_stream, restripe_items
    from litdata.streaming.item_loader import Interval

    chunks = [Interval(start, start, start + SHARD, start + SHARD) for start in range(0, samples, SHARD)]
    stream = canonical_item_stream(chunks, seed=42, epoch=1, shuffle=True)
    return restripe_items(stream, world_size=8, num_workers=1, batch_size=BATCH, drop_first=samples // 2)


def torch_sampler(samples: int) -> Any:  # noqa: ANN401
    """Draw the permutation of an epoch, as torch's RandomSampler does."""
    return torch.randperm(samples).tolist()


def grain(samples: int) -> Any:  # noqa: ANN401
    """Look up one batch in the middle of a shuffled epoch."""
    from grain import MapDataset

    shuffled = MapDataset.range(samples).shuffle(seed=0)
    return [shuffled[place] for place in range(samples // 2, samples // 2 + BATCH)]


RESUMES = (
    Resume(name="mosaicml, 1e7", module="streaming", samples=10**7, run=lambda: mosaicml(10**7)),
    Resume(name="mosaicml, 1e8", module="streaming", samples=10**8, run=lambda: mosaicml(10**8)),
    Resume(name="litdata, other ranks", module="litdata", samples=10**7, run=lambda: litdata(10**7)),
    Resume(name="torch RandomSampler", module="torch", samples=10**7, run=lambda: torch_sampler(10**7)),
    Resume(
        name="grain, index alone", module="grain", samples=10**9, run=lambda: grain(10**9), prepare=lambda: grain(10**3)
    ),
)
