import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch

from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.masking.block import BlockPatches
from pipelines.modalities import Image, Tokens
from pipelines.rendering.image import ImageRenderer
from pipelines.stream import Share, sequential
from pipelines.transforms.image import decode_image, render
from pipelines.views import CenterCrop, FreshViews, ViewSet
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, MissingFieldError, MissingTargetError, SettingsError
from tests.pipelines.streams import BATCH, CROP, IMAGE, NUM_SAMPLES, PixelTarget, assert_same, joined, open_stream, take


def test_a_batch_holds_rendered_pixels_labels_and_plans(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset), 1)
    assert len(batch) == BATCH
    assert batch.inputs["image"].shape == (BATCH, 3, 16, 16)
    assert batch.inputs["image"].dtype == torch.uint8
    assert batch.plans["image"].visible.shape == (BATCH, 4)
    assert batch.plans["image"].target.shape == (BATCH, 12)
    assert batch.labels is not None
    assert batch.labels.tolist() == [int(key[-4:]) % 10 for key in batch.keys]


def test_the_pixels_are_those_of_the_view_of_the_epoch_of_each_sample(dataset: Dataset) -> None:
    batch = take(open_stream(dataset), 12)[-1]
    assert set(batch.visits.epochs.tolist()) == {0, 1}
    for row, sample in enumerate(dataset.read(batch.visits.ids, ("image",))):
        pixels = decode_image(sample.fields["image"])
        epoch = int(batch.visits.epochs[row])
        view = CROP.view(sample.key, epoch, height=pixels.shape[0], width=pixels.shape[1], seed=1)
        assert torch.equal(batch.inputs["image"][row], render(pixels, view))


def test_every_sample_comes_once_in_each_of_its_epochs(dataset: Dataset) -> None:
    batches = take(open_stream(dataset), 34)
    seen = Counter(
        (epoch, key) for batch in batches for epoch, key in zip(batch.visits.epochs, batch.keys, strict=True)
    )
    assert set(seen.values()) == {1}
    assert Counter(int(epoch) for epoch, _ in seen) == {0: NUM_SAMPLES, 1: NUM_SAMPLES, 2: NUM_SAMPLES, 3: 9}


def test_epochs_follow_each_other_without_end(dataset: Dataset) -> None:
    batches = take(open_stream(dataset), 30)
    assert [batch.step for batch in batches] == list(range(30))
    assert batches[0].keys != batches[12].keys


def test_a_stream_of_some_steps_ends_after_them_wherever_it_resumes(dataset: Dataset) -> None:
    first = open_stream(dataset, steps=5)
    assert [next(first).step, next(first).step] == [0, 1]
    second = open_stream(dataset, steps=5)
    second.resume(first.state)
    assert [batch.step for batch in second] == [2, 3, 4]
    assert list(second) == []


@pytest.mark.parametrize("world_size", [2, 3, 4, 6, 8])
def test_every_world_size_sees_the_same_global_batches(dataset: Dataset, world_size: int) -> None:
    whole = take(open_stream(dataset), 13)
    ranks = [
        take(open_stream(dataset, share=Share(rank=rank, world_size=world_size)), 13) for rank in range(world_size)
    ]
    for step in (0, 5, 11, 12):
        assert_same(joined([batches[step] for batches in ranks]), whole[step])


def test_a_policy_stands_for_fresh_views_by_it(dataset: Dataset) -> None:
    (batch,), (expected,) = take(open_stream(dataset, views=CROP), 1), take(open_stream(dataset), 1)
    assert torch.equal(batch.inputs["image"], expected.inputs["image"])


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


TWO_LOOKS = (IMAGE, Image(size=16, patch=4, name="other", look=1))


def test_two_looks_at_one_picture_differ_and_follow_from_seed_epoch_and_key(dataset: Dataset) -> None:
    views = (FreshViews(policy=CROP), FreshViews(policy=CROP))
    (batch,) = take(open_stream(dataset, modalities=TWO_LOOKS, views=views), 1)
    (again,) = take(open_stream(dataset, modalities=TWO_LOOKS, views=views, loading=Threads(count=1)), 1)
    (single,) = take(open_stream(dataset), 1)
    assert torch.equal(batch.inputs["image"], single.inputs["image"])
    assert torch.equal(batch.inputs["other"], again.inputs["other"])
    same = (batch.inputs["image"] == batch.inputs["other"]).flatten(1).all(dim=1)
    assert not same.any()


def test_a_stored_target_belongs_to_the_look_whose_views_it_was_computed_on(dataset: Dataset) -> None:
    named = ViewSet(policy=CROP, count=3, seed=77)
    stream = open_stream(
        dataset,
        modalities=TWO_LOOKS,
        views=(FreshViews(policy=CROP), named),
        stored={"pixels": PixelTarget(dataset, named)},
    )
    for batch in take(stream, 12):
        assert torch.equal(batch.stored["pixels"], batch.inputs["other"])
        assert not torch.equal(batch.stored["pixels"], batch.inputs["image"])


def test_two_looks_of_one_set_show_two_of_its_views(dataset: Dataset) -> None:
    named = ViewSet(policy=CROP, count=3, seed=77)
    (batch,) = take(open_stream(dataset, modalities=TWO_LOOKS, views=(named, named)), 1)
    same = (batch.inputs["image"] == batch.inputs["other"]).flatten(1).all(dim=1)
    assert not same.any()


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
        ({"modalities": (IMAGE, IMAGE)}, SettingsError, "Several modalities have the name 'image'"),
        (
            {"modalities": (Image(size=16, patch=4, look=1),)},
            SettingsError,
            r"look 1, but there are views for looks 0\.\.0",
        ),
        ({"modalities": (Tokens(stored="vq", grid=(2, 2), vocabulary=9),)}, MissingTargetError, "stored target 'vq'"),
        ({"modalities": (Image(size=32, patch=4),)}, SettingsError, "32 pixels, but the views have 16"),
        ({"masking": {"imgae": BlockPatches(ratio=0.4)}}, SettingsError, "Did you mean 'image'"),
        ({"global_batch": 25, "share": Share(world_size=2)}, SettingsError, "cannot be divided evenly among 2"),
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


@pytest.mark.parametrize("loading", [Here(), Workers(count=1), Threads(count=2)])
def test_a_picture_that_cannot_be_decoded_is_an_error_with_dataset_and_key(
    single_shard: Path, loading: Loading
) -> None:
    adopt(single_shard)
    stream = open_stream(Dataset.open(single_shard), global_batch=7, loading=loading)
    for _ in range(2):
        with pytest.raises(
            CorruptShardError, match=rf"^The 'image' of sample 'sample-6' of {re.escape(str(single_shard))}"
        ):
            next(stream)
    assert stream.state.position.step == 0
    stream.close()


def test_a_picture_of_another_size_than_recorded_is_an_error(
    single_shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt(single_shard)
    other = ImageRenderer(modality=IMAGE, decode=lambda data: np.zeros((19, 20, 3), dtype=np.uint8))
    monkeypatch.setattr("pipelines.component.renderer_for", lambda modality, dataset: other)
    with pytest.raises(CorruptShardError, match=r"has \(19, 20\) pixels, but \(20, 20\) were recorded"):
        next(open_stream(Dataset.open(single_shard), global_batch=7))


def test_a_flipped_bit_is_an_error_with_the_key(single_shard: Path) -> None:
    adopt(single_shard)
    damage(single_shard, "sample-3")
    with pytest.raises(CorruptShardError, match="sample-3"):
        next(open_stream(Dataset.open(single_shard), global_batch=7))


def test_a_stream_of_one_field_that_some_samples_lack_is_refused(
    tmp_path: Path, make_shard: Callable[[Path, dict[str, bytes]], None]
) -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((20, 20, 3), 99, dtype=np.uint8))
    make_shard(tmp_path / "a.tar", {"with.jpg": jpeg, "with.txt": b"both", "without.txt": b"text alone"})
    adopt(tmp_path)
    with pytest.raises(MissingFieldError, match=r"'image' alone .* 1 of the 2 samples of .* --require image"):
        open_stream(Dataset.open(tmp_path), global_batch=2)


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
    take(open_stream(dataset, loading=Workers(count=1)), 2)
    take(open_stream(dataset), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("loading", [Here(), Workers(count=2)])
def test_sequential_gives_every_sample_once_in_order(dataset: Dataset, loading: Loading) -> None:
    batches = list(sequential(dataset, modalities=(IMAGE,), views=CenterCrop(size=16), batch=100, loading=loading))
    assert [len(batch) for batch in batches] == [100, 100, 69]
    assert [key for batch in batches for key in batch.keys] == dataset.keys(np.arange(NUM_SAMPLES))
    assert all(not batch.plans for batch in batches)


def test_a_batch_moves_as_a_whole(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset), 1)
    moved = batch.to("meta")
    tensors = [moved.inputs["image"], moved.plans["image"].visible, moved.plans["image"].target, moved.labels]
    assert all(tensor is not None and tensor.device.type == "meta" for tensor in tensors)
    assert moved.keys == batch.keys
