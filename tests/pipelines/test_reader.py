"""Several modalities of one sample, rendered with one view."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from pipelines.batch import Batch
from pipelines.component import Component
from pipelines.damage import RaiseOnDamage
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image, Modality, Raster
from pipelines.reader import BatchReader
from pipelines.transforms.image import decode_image, render
from pipelines.transforms.raster import render_raster
from pipelines.views import CenterCrop, FreshViews, RandomResizedCrop
from pipelines.visits import Visits
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, MissingFieldError, SettingsError

MakeShard = Callable[[Path, dict[str, bytes]], None]

SIZE = 16
CROP = RandomResizedCrop(size=SIZE, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
IMAGE = Image(size=SIZE, patch=4)
DEPTH = Raster(size=SIZE, patch=8, field="depth")
PARTS = Raster(size=SIZE, patch=4, field="segmentation", is_ids=True)
COUNT = 12


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def depth(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 9000, (24, 32), dtype=np.uint16)


def parts(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 7, (96, 128), dtype=np.int32)


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.fixture
def open_shard(tmp_path: Path, make_shard: MakeShard) -> Callable[[dict[str, bytes]], Dataset]:
    def open_members(members: dict[str, bytes]) -> Dataset:
        make_shard(tmp_path / "a.tar", members)
        adopt(tmp_path)
        return Dataset.open(tmp_path)

    return open_members


@pytest.fixture
def scenes(open_shard: Callable[[dict[str, bytes]], Dataset]) -> Dataset:
    members: dict[str, bytes] = {}
    for number in range(COUNT):
        members[f"s{number:02d}.png"] = png(picture(number))
        members[f"s{number:02d}.depth.png"] = png(depth(number))
        members[f"s{number:02d}.segmentation.npy"] = npy(parts(number))
    return open_shard(members)


def reader_of(dataset: Dataset, *modalities: Modality, **changed: Any) -> BatchReader:
    settings: dict[str, Any] = {"views": FreshViews(policy=CROP), "masking": {}, "seed": 5} | changed
    looks = (settings.pop("views"),)
    return BatchReader(
        components=(Component(dataset=dataset),), modalities=modalities, looks=looks, damage=RaiseOnDamage(), **settings
    )


def read(reader: BatchReader, count: int, *, epoch: int = 0) -> Batch:
    """Read the first samples."""
    ids = np.arange(count)
    return reader.read(Visits(datasets=np.zeros_like(ids), ids=ids, epochs=np.full_like(ids, epoch)), step=0)


def test_one_view_crops_picture_depth_and_segments(scenes: Dataset) -> None:
    batch = read(reader_of(scenes, DEPTH, IMAGE, PARTS), COUNT, epoch=3)
    assert {name: tensor.dtype for name, tensor in batch.inputs.items()} == {
        "depth": torch.float32,
        "image": torch.uint8,
        "segmentation": torch.int64,
    }
    flips = set()
    for row, key in enumerate(batch.keys):
        number = int(key[1:])
        view = CROP.view(key, 3, height=48, width=64, seed=5)
        flips.add(view.flip)
        assert torch.equal(batch.inputs["image"][row], render(picture(number), view))
        for name, values in (("depth", depth(number)), ("segmentation", parts(number))):
            expected = render_raster(values[..., None], view, height=48, width=64)
            assert torch.equal(batch.inputs[name][row], expected.to(batch.inputs[name].dtype))
    assert flips == {True, False}


def test_pixels_depth_and_segments_of_one_scene_agree_after_any_crop(
    open_shard: Callable[[dict[str, bytes]], Dataset],
) -> None:
    squares = (np.indices((48, 64)) // 16).sum(axis=0) % 2  # wide enough for antialiasing to leave their middles alone
    coarse = squares[::2, ::2].astype(np.uint16)
    members = {}
    for number in range(20):
        members[f"s{number:02d}.png"] = png((255 * squares).astype(np.uint8))
        members[f"s{number:02d}.depth.png"] = png(1000 * coarse)
    batch = read(reader_of(open_shard(members), IMAGE, DEPTH), 20)
    bright, far = batch.inputs["image"][:, 0] > 127, batch.inputs["depth"][:, 0] > 500
    assert (bright == far).float().mean() > 0.97
    assert 0.2 < far.float().mean() < 0.8


def test_a_second_picture_of_another_size_gets_the_same_look(open_shard: Callable[[dict[str, bytes]], Dataset]) -> None:
    ramp = np.add.outer(2 * np.arange(48), 2 * np.arange(64)).astype(np.uint8)
    half = (ramp[::2, ::2].astype(int) + ramp[1::2, 1::2]).astype(np.uint16) // 2
    members = {}
    for number in range(8):
        members[f"s{number}.left.png"] = png(ramp)
        members[f"s{number}.right.png"] = png(half.astype(np.uint8))
    left, right = (Image(size=SIZE, patch=4, field=field) for field in ("left", "right"))
    batch = read(reader_of(open_shard(members), left, right), 8)
    apart = (batch.inputs["left"].int() - batch.inputs["right"].int()).abs().float()
    assert apart.mean() < 2.5  # one pixel of either axis is 2 grey levels


def test_rasters_alone_are_viewed_by_the_size_of_the_first(scenes: Dataset) -> None:
    batch = read(reader_of(scenes, DEPTH), COUNT)
    view = CROP.view("s00", 0, height=24, width=32, seed=5)
    wanted = render_raster(depth(0)[..., None], view, height=24, width=32)
    assert torch.equal(batch.inputs["depth"][batch.keys.index("s00")], wanted.float())


def test_rasters_are_masked_by_their_own_grid(scenes: Dataset) -> None:
    masking = {"image": RandomPatches(ratio=0.75), "depth": RandomPatches(ratio=0.5)}
    batch = read(reader_of(scenes, IMAGE, DEPTH, masking=masking), COUNT)
    assert batch.plans["image"].visible.shape == (COUNT, 4)
    assert batch.plans["depth"].visible.shape == (COUNT, 2)


def test_missing_depth_stays_missing(open_shard: Callable[[dict[str, bytes]], Dataset]) -> None:
    metres = np.full((20, 20), np.nan, dtype=np.float32)
    dataset = open_shard({"a.depth.npy": npy(metres)})
    views = FreshViews(policy=CenterCrop(size=SIZE))
    assert read(reader_of(dataset, DEPTH, views=views), 1).inputs["depth"].isnan().all()


@pytest.mark.parametrize("shape", [(24, 40), (48, 48), (32, 24)])
def test_pictures_of_different_shapes_cannot_share_a_view(
    open_shard: Callable[[dict[str, bytes]], Dataset], shape: tuple[int, int]
) -> None:
    dataset = open_shard({"a.png": png(picture(0)), "a.depth.npy": npy(np.zeros(shape))})
    with pytest.raises(CorruptShardError, match=r"'a' of .* differ in shape: image \(48, 64\), depth"):
        read(reader_of(dataset, IMAGE, DEPTH), 1)


def test_sizes_that_only_rounding_sets_apart_share_a_view(open_shard: Callable[[dict[str, bytes]], Dataset]) -> None:
    dataset = open_shard({"a.png": png(picture(0)), "a.depth.npy": npy(np.zeros((17, 22)))})
    batch = read(reader_of(dataset, IMAGE, DEPTH), 1)
    assert batch.inputs["depth"].shape == (1, 1, SIZE, SIZE)


def test_a_modality_of_another_kind_than_the_field_is_refused(scenes: Dataset) -> None:
    with pytest.raises(SettingsError, match=r"'depth' decodes the kind 'ids', but .* is of the kind 'raster'"):
        reader_of(scenes, IMAGE, Raster(size=SIZE, patch=4, field="depth", is_ids=True))
    with pytest.raises(SettingsError, match=r"'depth' decodes the kind 'image'"):
        reader_of(scenes, Image(size=SIZE, patch=4, field="depth"))
    with pytest.raises(MissingFieldError, match=r"reads the field 'dept', but .* Did you mean 'depth'\?"):
        reader_of(scenes, Raster(size=SIZE, patch=4, field="dept"))


def test_another_number_of_channels_is_an_error_with_the_key(scenes: Dataset) -> None:
    bands = Raster(size=SIZE, patch=4, field="depth", channels=13)
    with pytest.raises(
        SettingsError, match=r"'depth' of sample 's00' of .* takes 13 channels, but its field 'depth' has 1"
    ):
        read(reader_of(scenes, bands), 1)


def test_a_raster_that_cannot_be_decoded_is_an_error_with_dataset_and_key(
    open_shard: Callable[[dict[str, bytes]], Dataset],
) -> None:
    dataset = open_shard({"a.depth.png": png(depth(0))[:200]})
    with pytest.raises(CorruptShardError, match=r"^The 'depth' of sample 'a' of .* cannot be decoded"):
        read(reader_of(dataset, DEPTH), 1)


def test_looks_at_one_picture_decode_it_once_and_survive_the_way_to_another_process(
    dataset_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counted(data: bytes) -> np.ndarray:
        decoded.append(len(data))
        return decode_image(data)

    monkeypatch.setattr("pipelines.rendering.image.decode_image", counted)
    looks = tuple(Image(size=16, patch=4, name=f"look{look}", look=look) for look in range(3))
    source = FreshViews(policy=RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(1.0, 1.0), flip_probability=0.0))
    reader = BatchReader(
        components=(Component(dataset=Dataset.open(dataset_root)),),
        modalities=looks,
        looks=(source,) * 3,
        masking={},
        damage=RaiseOnDamage(),
        seed=0,
    )
    visits = Visits(datasets=np.zeros(5, np.int64), ids=np.arange(5), epochs=np.zeros(5, np.int64))
    batch = reader.read(visits, step=0)
    assert len(decoded) == 5
    again = pickle.loads(pickle.dumps(reader)).read(visits, step=0)
    for look in looks:
        assert torch.equal(again.inputs[look.name], batch.inputs[look.name])
    assert not torch.equal(batch.inputs["look0"], batch.inputs["look1"])
