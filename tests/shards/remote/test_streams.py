"""Streams read remote datasets like folders: from threads, and from workers that are forked or spawned."""

from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from pipelines.stream import Component, Stream
from pipelines.views import FreshViews, RandomResizedCrop
from shards.dataset import Dataset
from shards.remote.access import Access
from tests.shards.remote.range_server import RangeServer

CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)


def batches(dataset: Dataset, loading: Loading) -> list[tuple[tuple[str, ...], torch.Tensor]]:
    stream = Stream(
        [Component(dataset=dataset)],
        modalities=(Image(size=16, patch=4),),
        views=FreshViews(policy=CROP),
        masking={"image": RandomPatches(ratio=0.75)},
        global_batch=30,
        seed=1,
        loading=loading,
    )
    with closing(stream):
        return [(batch.keys, batch.inputs["image"]) for batch in islice(stream, 5)]


@pytest.mark.parametrize(
    "loading",
    [Here(), Threads(count=2), Workers(count=2, start_method="fork"), Workers(count=2, start_method="spawn")],
    ids=["here", "threads", "fork", "spawn"],
)
def test_an_epoch_is_the_same_from_a_server_and_asks_for_every_block_once(
    loading: Loading, server: RangeServer, access: Access, dataset_root: Path
) -> None:
    expected = batches(Dataset.open(dataset_root), Here())
    found = batches(Dataset.open(f"{server.url}/dataset", access=access), loading)
    for (keys, pixels), (expected_keys, expected_pixels) in zip(found, expected, strict=True):
        assert keys == expected_keys and torch.equal(pixels, expected_pixels)
    assert sorted(server.ranges(".tar").values()) == [1] * 5
