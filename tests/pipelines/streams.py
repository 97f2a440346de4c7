"""Streams of the small dataset of pictures, and what is done with their batches."""

from contextlib import closing
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipelines.batch import Batch
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from pipelines.stream import Component, Stream
from pipelines.transforms.image import decode_image, render
from pipelines.views import Extent, FreshViews, RandomResizedCrop, ViewSet
from shards.dataset import Dataset
from shards.target_table import TargetTable

IMAGE = Image(size=16, patch=4)
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
BATCH = 24
NUM_SAMPLES = 269


def open_stream(dataset: Dataset, *, stored: dict[str, TargetTable] | None = None, **changed: Any) -> Stream:
    settings: dict[str, Any] = {
        "modalities": (IMAGE,),
        "views": FreshViews(policy=CROP),
        "masking": {"image": RandomPatches(ratio=0.75)},
        "global_batch": BATCH,
        "seed": 1,
    }
    return Stream([Component(dataset=dataset, stored=stored or {})], **settings | changed)


def take(stream: Stream, count: int) -> list[Batch]:
    with closing(stream):
        return list(islice(stream, count))


def assert_same(found: Batch, expected: Batch) -> None:
    assert found.keys == expected.keys
    assert found.step == expected.step
    assert found.visits.epochs.tolist() == expected.visits.epochs.tolist()
    assert torch.equal(found.inputs["image"], expected.inputs["image"])
    assert torch.equal(found.plans["image"].visible, expected.plans["image"].visible)
    assert torch.equal(found.plans["image"].target, expected.plans["image"].target)
    assert found.labels is not None
    assert expected.labels is not None
    assert torch.equal(found.labels, expected.labels)


def joined(parts: list[Batch]) -> Batch:
    """Put the parts of all ranks back together."""
    plans = [part.plans["image"] for part in parts]
    epochs = np.concatenate([part.visits.epochs for part in parts])
    return replace(
        parts[0],
        keys=tuple(key for part in parts for key in part.keys),
        visits=replace(parts[0].visits, epochs=epochs),
        inputs={"image": torch.cat([part.inputs["image"] for part in parts])},
        plans={
            "image": replace(
                plans[0],
                visible=torch.cat([plan.visible for plan in plans]),
                target=torch.cat([plan.target for plan in plans]),
            )
        },
        labels=torch.cat([part.labels for part in parts if part.labels is not None]),
    )


class PixelTarget(TargetTable):
    """A stored target that holds the pixels of each named view."""

    def __init__(self, dataset: Dataset, views: ViewSet) -> None:
        self._samples = dataset
        self._view_set = views

    @property
    def spec(self) -> Any:
        return SimpleNamespace(
            views=self._view_set.to_json(), shape=(3, 16, 16), stored_shape=(3, 16, 16), dtype="uint8"
        )

    def read(self, ids: npt.NDArray[np.int64], k: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        rows = []
        for sample, number in zip(self._samples.read(ids, ("image",)), k.tolist(), strict=True):
            pixels = decode_image(sample.fields["image"])
            extent = Extent(height=pixels.shape[0], width=pixels.shape[1])
            view = self._view_set.view(sample.key, number, extent=extent)
            rows.append(render(pixels, view).numpy())
        return np.stack(rows)
