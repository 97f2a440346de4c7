import json
import multiprocessing
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
import torch

from pipelines.batch import Batch
from pipelines.masking.block import BlockPatches
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from pipelines.stream import Stream, StreamMismatchError, StreamState, sequential
from pipelines.transforms.image import decode_image, render
from pipelines.views import CenterCrop, FreshViews, RandomResizedCrop, ViewSet
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, MissingFieldError, SettingsError
from shards.target_table import TargetTable

IMAGE = Image(size=16, patch=4)
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
BATCH = 24
NUM_SAMPLES = 269


def open_stream(dataset: Dataset, **changed: Any) -> Stream:
    settings: dict[str, Any] = {
        "modalities": (IMAGE,),
        "views": FreshViews(policy=CROP),
        "masking": {"image": RandomPatches(ratio=0.75)},
        "global_batch": BATCH,
        "seed": 1,
    }
    return Stream(dataset, **settings | changed)


def take(stream: Stream, count: int) -> list[Batch]:
    with closing(stream):
        return list(islice(stream, count))


def assert_same(found: Batch, expected: Batch) -> None:
    assert found.keys == expected.keys
    assert (found.epoch, found.step) == (expected.epoch, expected.step)
    assert torch.equal(found.inputs["image"], expected.inputs["image"])
    assert torch.equal(found.plans["image"].visible, expected.plans["image"].visible)
    assert torch.equal(found.plans["image"].target, expected.plans["image"].target)
    assert found.labels is not None
    assert expected.labels is not None
    assert torch.equal(found.labels, expected.labels)


def joined(parts: list[Batch]) -> Batch:
    """Put the parts of all ranks back together."""
    plans = [part.plans["image"] for part in parts]
    return replace(
        parts[0],
        keys=tuple(key for part in parts for key in part.keys),
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
        return SimpleNamespace(views=self._view_set.to_json())

    def read(self, ids: npt.NDArray[np.int64], k: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        rows = []
        for sample, number in zip(self._samples.read(ids, ("image",)), k.tolist(), strict=True):
            pixels = decode_image(sample.fields["image"])
            view = self._view_set.view(sample.key, number, height=pixels.shape[0], width=pixels.shape[1])
            rows.append(render(pixels, view).numpy())
        return np.stack(rows)


def test_a_batch_holds_rendered_pixels_labels_and_plans(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset), 1)
    assert len(batch) == BATCH
    assert batch.inputs["image"].shape == (BATCH, 3, 16, 16)
    assert batch.inputs["image"].dtype == torch.uint8
    assert batch.plans["image"].visible.shape == (BATCH, 4)
    assert batch.plans["image"].target.shape == (BATCH, 12)
    assert batch.labels is not None
    assert batch.labels.tolist() == [int(key[-4:]) % 10 for key in batch.keys]


def test_the_pixels_are_those_of_the_view_of_this_epoch(dataset: Dataset) -> None:
    stream = open_stream(dataset)
    batch = take(stream, stream.steps_per_epoch + 1)[-1]
    ids = stream.order.batch(1, 0)
    for row, sample in enumerate(dataset.read(ids, ("image",))):
        pixels = decode_image(sample.fields["image"])
        view = CROP.view(sample.key, 1, height=pixels.shape[0], width=pixels.shape[1], seed=1)
        assert torch.equal(batch.inputs["image"][row], render(pixels, view))


def test_every_sample_comes_once_an_epoch_with_fill_ups_below_a_batch(dataset: Dataset) -> None:
    stream = open_stream(dataset)
    batches = take(stream, stream.steps_per_epoch)
    keys = [key for batch in batches for key in batch.keys]
    assert [(batch.epoch, batch.step) for batch in batches] == [(0, step) for step in range(12)]
    assert len(set(keys)) == NUM_SAMPLES
    assert len(keys) - NUM_SAMPLES == 12 * BATCH - NUM_SAMPLES < BATCH


def test_epochs_follow_each_other_without_end(dataset: Dataset) -> None:
    batches = take(open_stream(dataset), 30)
    assert [(batch.epoch, batch.step) for batch in batches[10:14]] == [(0, 10), (0, 11), (1, 0), (1, 1)]
    assert batches[0].keys != batches[12].keys


@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_every_world_size_sees_the_same_global_batches(dataset: Dataset, world_size: int) -> None:
    whole = take(open_stream(dataset), 13)
    ranks = [take(open_stream(dataset, rank=rank, world_size=world_size), 13) for rank in range(world_size)]
    for step in (0, 5, 11, 12):
        assert_same(joined([batches[step] for batches in ranks]), whole[step])


@pytest.mark.parametrize(
    ("workers", "start_method"),
    [(1, "fork"), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)],
)
def test_workers_change_nothing(dataset: Dataset, workers: int, start_method: str) -> None:
    here = take(open_stream(dataset), 14)
    elsewhere = take(open_stream(dataset, workers=workers, start_method=start_method), 14)
    for found, expected in zip(elsewhere, here, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 11, 12, 13])
def test_resume_repeats_no_sample_and_skips_none(dataset: Dataset, workers: int, stop: int) -> None:
    uninterrupted = take(open_stream(dataset), stop + 4)
    first = open_stream(dataset, workers=workers)
    begun = take(first, stop)
    saved = json.loads(json.dumps(first.state.to_json()))
    second = open_stream(dataset, workers=workers)
    second.resume(StreamState.from_json(saved))
    for found, expected in zip([*begun, *take(second, 4)], uninterrupted, strict=True):
        assert_same(found, expected)


def test_the_state_points_at_the_next_batch(dataset: Dataset) -> None:
    stream = open_stream(dataset)
    positions = [(stream.state.epoch, stream.state.step)]
    with closing(stream):
        positions += [(stream.state.epoch, stream.state.step) for _ in islice(stream, 12)]
    assert positions == [*((0, step) for step in range(12)), (1, 0)]


def test_iterating_again_continues(dataset: Dataset) -> None:
    stream = open_stream(dataset, workers=1)
    with closing(stream):
        steps = [batch.step for _ in range(3) for batch in islice(stream, 2)]
        stream.close()
        steps += [batch.step for batch in islice(stream, 2)]
    assert steps == list(range(8))


def test_closing_stops_the_workers(dataset: Dataset) -> None:
    stream = open_stream(dataset, workers=2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", ["dataset_id", "order_version", "seed", "global_batch"])
def test_a_state_of_another_stream_is_refused_with_both_values(dataset: Dataset, name: str) -> None:
    stream = open_stream(dataset)
    other = "another" if name == "dataset_id" else 4711
    with pytest.raises(StreamMismatchError, match=f"{name} {other}, but .* {name} {getattr(stream.state, name)}"):
        stream.resume(replace(stream.state, **{name: other}))  # type: ignore[arg-type]


def test_a_step_beyond_the_epoch_is_refused(dataset: Dataset) -> None:
    stream = open_stream(dataset)
    with pytest.raises(StreamMismatchError, match=r"step 12 of epoch 0, .* 0\.\.11"):
        stream.resume(replace(stream.state, step=12))


@pytest.mark.parametrize("change", [{"version": 99}, {"spare": 1}])
def test_a_state_that_cannot_be_understood_is_refused(dataset: Dataset, change: dict[str, int]) -> None:
    with pytest.raises(StreamMismatchError, match="reads version 1"):
        StreamState.from_json(open_stream(dataset).state.to_json() | change)


def test_stored_targets_belong_to_the_pixels_beside_them(dataset: Dataset) -> None:
    views = ViewSet(policy=CROP, count=3, seed=77)
    stream = open_stream(dataset, views=views, stored={"pixels": PixelTarget(dataset, views)})
    batches = take(stream, 15)
    for batch in batches:
        assert torch.equal(batch.stored["pixels"], batch.inputs["image"])
    by_key: dict[str, set[bytes]] = {}
    for batch in batches:
        for key, pixels in zip(batch.keys, batch.stored["pixels"], strict=True):
            by_key.setdefault(key, set()).add(pixels.numpy().tobytes())
    assert max(map(len, by_key.values())) > 1


@pytest.mark.parametrize(
    "views", [FreshViews(policy=CROP), ViewSet(policy=CROP, count=3, seed=78), ViewSet(policy=CROP, count=2, seed=77)]
)
def test_a_stored_target_of_other_views_is_refused(dataset: Dataset, views: FreshViews | ViewSet) -> None:
    target = PixelTarget(dataset, ViewSet(policy=CROP, count=3, seed=77))
    with pytest.raises(SettingsError, match="'pixels' was computed on"):
        open_stream(dataset, views=views, stored={"pixels": target})


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"modalities": (Image(size=16, patch=4, field="imgae"),)}, MissingFieldError, "Did you mean 'image'"),
        ({"modalities": (), "masking": {}}, SettingsError, "at least one modality"),
        ({"modalities": (IMAGE, IMAGE)}, SettingsError, "Several modalities read the field 'image'"),
        ({"modalities": (Image(size=32, patch=4),)}, SettingsError, "32 pixels, but the views have 16"),
        ({"masking": {"imgae": BlockPatches(ratio=0.4)}}, SettingsError, "Did you mean 'image'"),
        ({"global_batch": 25, "world_size": 2}, SettingsError, "cannot be divided evenly among 2"),
        ({"global_batch": 0}, SettingsError, "at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_read(
    dataset: Dataset, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_stream(dataset, **changed)


def damage(root: Path, key: str) -> None:
    """Flip one bit in the stored picture of `key`."""
    (tar,) = root.glob("*.tar")
    data = bytearray(tar.read_bytes())
    data[data.index(key.encode()) + 512 + 40] ^= 1
    tar.write_bytes(data)


@pytest.fixture
def single_shard(tmp_path: Path, make_shard: Callable[[Path, dict[str, bytes]], None]) -> Iterator[Path]:
    jpeg = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, dtype=np.uint8))
    members = {f"sample-{number}.jpg": jpeg for number in range(6)}
    # The header is that of a JPEG, but there are no pixels behind it.
    make_shard(tmp_path / "a.tar", members | {"sample-6.jpg": jpeg[: jpeg.index(b"\xff\xda") + 30] + b"\xff\xd9"})
    yield tmp_path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_decoded_is_an_error_with_dataset_and_key(single_shard: Path, workers: int) -> None:
    adopt(single_shard)
    stream = open_stream(Dataset.open(single_shard), global_batch=7, workers=workers)
    for _ in range(2):
        with pytest.raises(
            CorruptShardError, match=rf"^The 'image' of sample 'sample-6' of {re.escape(str(single_shard))}"
        ):
            next(stream)
    assert (stream.state.epoch, stream.state.step) == (0, 0)
    stream.close()


def test_a_picture_of_another_size_than_recorded_is_an_error(
    single_shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt(single_shard)
    monkeypatch.setattr("pipelines.reader.decode_image", lambda data: np.zeros((19, 20, 3), dtype=np.uint8))
    with pytest.raises(CorruptShardError, match=r"has \(19, 20\) pixels, but \(20, 20\) were recorded"):
        next(open_stream(Dataset.open(single_shard), global_batch=7))


def test_a_flipped_bit_is_an_error_with_the_key(single_shard: Path) -> None:
    adopt(single_shard)
    damage(single_shard, "sample-3")
    with pytest.raises(CorruptShardError, match="sample-3"):
        next(open_stream(Dataset.open(single_shard), global_batch=7))


def test_a_sample_without_the_field_is_an_error_with_its_key(
    tmp_path: Path, make_shard: Callable[[Path, dict[str, bytes]], None]
) -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, dtype=np.uint8))
    make_shard(tmp_path / "a.tar", {"with.jpg": jpeg, "with.txt": b"both", "without.txt": b"text alone"})
    adopt(tmp_path)
    with pytest.raises(MissingFieldError, match=r"Sample 'without' .* has no 'image'"):
        next(open_stream(Dataset.open(tmp_path), global_batch=2))


def test_a_dataset_without_labels_gives_none(
    tmp_path: Path, make_shard: Callable[[Path, dict[str, bytes]], None]
) -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, dtype=np.uint8))
    make_shard(tmp_path / "a.tar", {"one.jpg": jpeg, "two.jpg": jpeg})
    adopt(tmp_path)
    (batch,) = take(open_stream(Dataset.open(tmp_path), global_batch=2), 1)
    assert batch.labels is None


def test_the_global_generator_of_torch_is_left_alone(dataset: Dataset) -> None:
    before = torch.get_rng_state()
    take(open_stream(dataset, workers=1), 2)
    take(open_stream(dataset), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_sequential_gives_every_sample_once_in_order(dataset: Dataset, workers: int) -> None:
    batches = list(sequential(dataset, modalities=(IMAGE,), views=CenterCrop(size=16), batch=100, workers=workers))
    assert [len(batch) for batch in batches] == [100, 100, 69]
    assert [key for batch in batches for key in batch.keys] == dataset.keys(np.arange(NUM_SAMPLES))
    assert all(not batch.plans for batch in batches)


def test_a_batch_moves_as_a_whole(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset), 1)
    moved = batch.to("meta")
    tensors = [moved.inputs["image"], moved.plans["image"].visible, moved.plans["image"].target, moved.labels]
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)
    assert moved.keys == batch.keys
