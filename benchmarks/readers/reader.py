"""What a reader is, and what is done with the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from pipelines.transforms.image import decode_image, render
from pipelines.views import RandomResizedCrop

BATCH = 32
SIDE = 224
SHARD_SIZE = 256
SHUFFLE_BUFFER = 500
CROP = RandomResizedCrop(size=SIDE, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)

Pair = tuple[str, bytes]
Collate = Callable[[Sequence[Pair]], Any]


def untouched(samples: Sequence[Pair]) -> Sequence[Pair]:
    """Leave the bytes as they are."""
    return samples


def decoded(samples: Sequence[Pair]) -> torch.Tensor:
    """Decode, crop and resize the pictures into one batch: uint8 [batch, 3, 224, 224], as a Stream does it."""
    batch = torch.empty((len(samples), 3, SIDE, SIDE), dtype=torch.uint8, memory_format=torch.channels_last)
    for row, (key, data) in enumerate(samples):
        pixels = decode_image(data)
        view = CROP.view(key, 0, height=pixels.shape[0], width=pixels.shape[1], seed=0)
        batch[row] = render(pixels, view)
    return batch


class Reader(Protocol):
    """A format on disk and the loader that goes with it."""

    name: str
    modules: Sequence[str]

    def write(self, pictures: Path) -> None:
        """Write the pictures of a folder once."""
        ...

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch, shuffled."""
        ...

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads batch number `batch` of the first epoch."""
        ...


class PairsFirst:
    """Turns samples that are dictionaries into pairs, then collates."""

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401
        """Collate the samples of a batch."""
        return self._collate([(sample["key"], sample["image"]) for sample in samples])
