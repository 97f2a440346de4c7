"""Pictures that are decoded where the batch is: on a CPU here, by the decoder that stands in for nvJPEG."""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch

from pipelines.batch import Batch
from pipelines.device.copy import OnDevice, copy_to
from pipelines.device.decode import decoded
from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from pipelines.stream import Component, Stream
from pipelines.views import FreshViews, RandomResizedCrop
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, SettingsError

CPU = torch.device("cpu")
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
MakeShard = Callable[[Path, dict[str, bytes]], None]


def open_stream(dataset: Dataset, **changed: Any) -> Stream:
    settings: dict[str, Any] = {
        "modalities": [Image(size=16, patch=4)],
        "views": FreshViews(policy=CROP),
        "masking": {"image": RandomPatches(ratio=0.75)},
        "global_batch": 24,
        "seed": 1,
    }
    return Stream([Component(dataset=dataset)], **settings | changed)


def take(stream: Stream, count: int) -> list[Batch]:
    with closing(stream):
        return list(islice(stream, count))


@pytest.mark.parametrize("loading", [Here(), Workers(count=1), Threads(count=2)])
def test_pictures_decoded_on_the_device_are_those_of_the_cpu_path_to_a_few_levels(
    dataset: Dataset, loading: Loading
) -> None:
    expected = take(open_stream(dataset), 12)
    for batch, wanted in zip(take(open_stream(dataset, encoded=["image"], loading=loading), 12), expected, strict=True):
        assert "image" not in batch.inputs
        found = decoded(batch, CPU)
        assert found.keys == wanted.keys
        assert not found.encoded
        assert torch.equal(found.plans["image"].visible, wanted.plans["image"].visible)
        apart = (found.inputs["image"].int() - wanted.inputs["image"].int()).abs()
        assert apart.max() <= 3


def test_a_flip_or_a_shift_would_be_seen(dataset: Dataset) -> None:
    (wanted,) = take(open_stream(dataset), 1)
    pixels = wanted.inputs["image"].int()
    assert (pixels - pixels.flip(-1)).abs().amax(dim=(1, 2, 3)).min() > 3
    assert (pixels - pixels.roll(1, dims=-1)).abs().amax(dim=(1, 2, 3)).min() > 3


def test_a_sample_without_a_picture_shows_nothing(tmp_path: Path, make_shard: MakeShard) -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, np.uint8))
    make_shard(tmp_path / "a.tar", {"with.jpg": jpeg, "with.l.jpg": jpeg, "without.l.jpg": jpeg})
    adopt(tmp_path)
    modalities = [Image(size=16, patch=4), Image(size=16, patch=4, field="l")]
    stream = open_stream(
        Dataset.open(tmp_path), modalities=modalities, masking={}, encoded=["image", "l"], global_batch=2
    )
    (batch,) = take(stream, 1)
    found = decoded(batch, CPU)
    there = torch.tensor([key == "with" for key in batch.keys])
    assert found.lengths["image"].tolist() == [16 if key == "with" else 0 for key in batch.keys]
    assert not found.inputs["image"][~there].any()
    assert (found.inputs["image"][there].int() - 99).abs().max() <= 2
    assert (found.inputs["l"].int() - 99).abs().max() <= 2


def test_what_is_no_jpeg_is_refused_with_advice(tmp_path: Path, make_shard: MakeShard) -> None:
    from tests.pipelines.test_reader import picture, png

    make_shard(tmp_path / "a.tar", {"one.png": png(picture(0))})
    adopt(tmp_path)
    with pytest.raises(CorruptShardError, match=r"'image' of sample 'one' .* only JPEG is decoded"):
        take(open_stream(Dataset.open(tmp_path), encoded=["image"], global_batch=1), 1)


def test_a_picture_that_cannot_be_decoded_is_named_and_its_neighbours_are_not(
    tmp_path: Path, make_shard: MakeShard
) -> None:
    sound = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, np.uint8))
    broken = sound[: sound.index(b"\xff\xda") + 30]  # a sound header, and next to no pixels behind it
    make_shard(tmp_path / "a.tar", {"sound.jpg": sound, "broken.jpg": broken})
    adopt(tmp_path)
    stream = OnDevice(open_stream(Dataset.open(tmp_path), encoded=["image"], global_batch=2), CPU)
    with pytest.raises(CorruptShardError, match="sample 'broken' cannot be decoded on cpu"):
        next(stream)


def test_only_pictures_can_be_left_to_the_device(dataset: Dataset) -> None:
    with pytest.raises(SettingsError, match=r"'imgae' should be decoded on the device.*Did you mean 'image'"):
        open_stream(dataset, encoded=["imgae"])


def test_the_batches_of_a_device_know_where_their_stream_stands(dataset: Dataset) -> None:
    stream, other = OnDevice(open_stream(dataset), CPU), open_stream(dataset)
    for _ in range(3):
        assert next(stream).keys == next(other).keys
        assert stream.state == other.state


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gets_the_same_batches_on_its_side_stream(dataset: Dataset) -> None:
    device = torch.device("cuda")
    stream = OnDevice(open_stream(dataset, pin_memory=True, loading=Workers(count=1)), device)
    for wanted in take(open_stream(dataset), 5):
        batch = next(stream)
        assert batch.inputs["image"].is_cuda
        assert torch.equal(batch.inputs["image"].cpu(), wanted.inputs["image"])
        assert torch.equal(batch.plans["image"].target.cpu(), wanted.plans["image"].target)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_decodes_pictures_as_the_cpu_does_to_a_few_levels(dataset: Dataset) -> None:
    stream = OnDevice(open_stream(dataset, encoded=["image"]), torch.device("cuda"))
    for wanted in take(open_stream(dataset), 5):
        apart = (next(stream).inputs["image"].cpu().int() - wanted.inputs["image"].int()).abs().float()
        assert apart.mean() < 2


def test_a_copy_to_the_cpu_is_the_batch_itself(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset), 1)
    assert copy_to(CPU)(batch).inputs["image"].data_ptr() == batch.inputs["image"].data_ptr()
