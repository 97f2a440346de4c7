"""Pictures and rasters."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.modalities import Image, Raster
from pipelines.rendering.boxes import mapped
from pipelines.rendering.image import ImageRenderer
from pipelines.rendering.raster import RasterRenderer
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.image import decode_image, render
from pipelines.transforms.raster import render_raster
from pipelines.views import ColourFactors, ColourJitter, Extent, FreshViews, RandomResizedCrop, View
from shards.errors import MissingFieldError, SettingsError
from tests.pipelines.many_kinds import Stored, image, raster
from tests.pipelines.rendering.looking import FULL, extent_of, noise, rendered

IMAGE = ImageRenderer(modality=Image(size=16, patch=4))
DEPTH = RasterRenderer(modality=Raster(size=16, patch=8, field="depth"))
IDS = RasterRenderer(modality=Raster(size=16, patch=4, field="ids", is_ids=True))
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)

PICTURE = image(noise(48, 64, 3))
RAMP = raster(np.add.outer(100 * np.arange(24), np.arange(32)).astype(np.uint16))


def pixels_of(stored: Stored) -> np.ndarray:
    assert isinstance(stored.data, bytes)
    return decode_image(stored.data)


def views(count: int, extent: Extent) -> list[View]:
    source = FreshViews(policy=CROP)
    return [source.choose(str(number), epoch=0, seed=1, extent=extent)[1] for number in range(count)]


def test_a_picture_is_rendered_as_its_teacher_sees_it() -> None:
    extent = extent_of(IMAGE, PICTURE)
    assert extent == Extent(height=48, width=64)
    for view in views(20, extent):
        row, real = rendered(IMAGE, PICTURE, view)
        assert torch.equal(row, render(pixels_of(PICTURE), view))
        assert real == 16


def test_a_shift_of_one_pixel_or_a_missing_flip_would_show() -> None:
    view = replace(FULL, top=5, left=7, height=30, width=40, flip=True)
    row, _ = rendered(IMAGE, PICTURE, view)
    for wrong in (replace(view, top=6), replace(view, left=6), replace(view, width=41), replace(view, flip=False)):
        assert not torch.equal(rendered(IMAGE, PICTURE, wrong)[0], row)


def test_rows_without_a_picture_are_black_and_keep_the_channels_of_a_pixel_together() -> None:
    rows = IMAGE.empty(3)
    assert not rows.any()
    assert rows.is_contiguous(memory_format=torch.channels_last)
    assert DEPTH.empty(2).dtype == torch.float32
    assert IDS.empty(2).dtype == torch.int64


def test_a_raster_shows_the_same_part_as_its_picture() -> None:
    extent = Extent(height=48, width=64)
    for view in views(20, extent):
        row, real = rendered(DEPTH, RAMP, view, extent=extent)
        values = np.add.outer(100 * np.arange(24), np.arange(32))[..., None]
        assert torch.equal(row, render_raster(values, view, height=48, width=64).float())
        assert real == 4


def test_ids_are_never_mixed_and_stay_whole_numbers() -> None:
    checks = raster((np.indices((40, 40)).sum(axis=0) % 2 * 200).astype(np.uint8))
    row, _ = rendered(IDS, checks, View(top=3, left=2, height=31, width=29, size=16))
    assert row.dtype == torch.int64
    assert set(row.unique().tolist()) == {0, 200}


def test_a_picture_of_half_the_size_gets_the_proportional_crop() -> None:
    ramp = np.add.outer(2 * np.arange(48), 2 * np.arange(64)).astype(np.uint8)
    small = image(np.repeat(ramp[::2, ::2, None], 3, axis=2) + 1)
    large = image(np.repeat(ramp[..., None], 3, axis=2))
    for view in views(20, Extent(height=48, width=64)):
        apart = (
            rendered(IMAGE, large, view)[0].int() - rendered(IMAGE, small, view, extent=Extent(height=48, width=64))[0]
        )
        assert apart.abs().float().mean() < 4  # one pixel of either axis is 2 grey levels


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    onto=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    key=st.text(max_size=3),
)
def test_a_mapped_box_lies_inside_the_other_picture(size: tuple[int, int], onto: tuple[int, int], key: str) -> None:
    extent = Extent(height=size[0], width=size[1])
    view = mapped(CROP.view(key, 0, height=size[0], width=size[1], seed=0), extent, onto=onto)
    assert 0 <= view.top < view.top + view.height <= onto[0]
    assert 0 <= view.left < view.left + view.width <= onto[1]


def test_colours_change_pixels_by_the_factors_of_the_view_and_never_rasters() -> None:
    grey = image(np.full((48, 64, 3), 100, np.uint8))
    brighter = replace(FULL, colours=ColourFactors(brightness=1.4, contrast=1.0, saturation=1.0))
    assert rendered(IMAGE, grey, brighter)[0].unique().tolist() == [140]
    colourless = replace(FULL, colours=ColourFactors(brightness=1.0, contrast=1.0, saturation=0.0))
    row = rendered(IMAGE, PICTURE, colourless)[0].int()
    assert (row.amax(dim=0) - row.amin(dim=0)).max() <= 1
    flat = replace(FULL, colours=ColourFactors(brightness=1.0, contrast=0.0, saturation=1.0))
    assert len(rendered(IMAGE, PICTURE, flat)[0].unique()) == 1
    same = replace(FULL, colours=ColourFactors(brightness=1.0, contrast=1.0, saturation=1.0))
    assert torch.equal(rendered(IMAGE, PICTURE, same)[0], rendered(IMAGE, PICTURE, FULL)[0])
    assert torch.equal(
        rendered(DEPTH, RAMP, brighter, extent=Extent(height=48, width=64))[0],
        rendered(DEPTH, RAMP, FULL, extent=Extent(height=48, width=64))[0],
    )


def test_jittered_colours_are_the_same_in_every_replay() -> None:
    source = FreshViews(policy=ColourJitter(crop=CROP))
    rows = [
        rendered(IMAGE, PICTURE, source.choose("a", epoch=epoch, seed=1, extent=Extent(height=48, width=64))[1])[0]
        for epoch in (4, 4, 5)
    ]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (47, 1), (5, 333)])
def test_odd_sizes_are_rendered(size: tuple[int, int]) -> None:
    stored = image(noise(*size, 3))
    for view in views(5, Extent(height=size[0], width=size[1])):
        rendered(IMAGE, stored, view)


def test_pixels_of_another_size_than_recorded_are_refused() -> None:
    with pytest.raises(DecodeError, match=r"It has \(48, 64\) pixels, but \(48, 60\) were recorded"):
        rendered(IMAGE, PICTURE, FULL, width=60)
    with pytest.raises(DecodeError, match=r"It has \(24, 32\) pixels, but \(20, 32\) were recorded"):
        rendered(DEPTH, RAMP, FULL, height=20)


def test_a_damaged_picture_or_raster_is_a_decode_error() -> None:
    for renderer, stored in ((IMAGE, PICTURE), (DEPTH, RAMP)):
        assert isinstance(stored.data, bytes)
        with pytest.raises(DecodeError, match="cannot be decoded"):
            rendered(renderer, replace(stored, data=stored.data[: len(stored.data) // 2]), FULL)


def test_another_number_of_channels_is_refused() -> None:
    bands = RasterRenderer(modality=Raster(size=16, patch=8, field="depth", channels=13))
    with pytest.raises(
        SettingsError, match="'depth' takes 13 channels, but its field 'depth' has 1; give the modality"
    ):
        rendered(bands, RAMP, FULL)
    with pytest.raises(SettingsError, match="'image' takes 1 channels, but its field 'image' has 3"):
        ImageRenderer(modality=Image(size=16, patch=4, channels=1))


def test_a_view_of_another_size_or_without_a_picture_is_refused() -> None:
    for view, found in ((replace(FULL, size=32), 32), (View(), 0)):
        with pytest.raises(SettingsError, match=f"'image' takes pictures of 16 pixels, but the view has {found}"):
            rendered(IMAGE, PICTURE, view)


def test_a_size_that_the_index_does_not_know_is_refused() -> None:
    with pytest.raises(MissingFieldError, match=r"does not know 'image\.height'.*maskloom ingest"):
        extent_of(IMAGE, PICTURE, height=-1)
