from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.modalities import Clip
from pipelines.rendering.clip import ClipRenderer
from pipelines.transforms import frames as frames_module
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.image import decode_image, render
from pipelines.views import CentreClip, Extent, FreshViews, RandomClip, RandomResizedCrop, View
from shards.errors import MissingFieldError, SettingsError
from tests.pipelines.many_kinds import Stored, clip, frames
from tests.pipelines.rendering.looking import extent_of, noise, rendered

Store = Callable[[Sequence[np.ndarray]], Stored]

CLIP = ClipRenderer(modality=Clip(size=16, patch=8, frames=4, tubelet=2))
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
PICTURES = [noise(48, 64, 3, seed=number) for number in range(9)]
FRAMES = frames(PICTURES)
VIEW = View(top=3, left=5, height=40, width=50, flip=True, size=16, frames=(1, 4, 4, 7))


def numbered(count: int, *, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Frames of one grey each, 20 times their number."""
    return [np.full((*size, 3), 20 * number, np.uint8) for number in range(count)]


def shown(row: torch.Tensor) -> list[int]:
    """Tell which numbered frames a row shows."""
    return [round(grey / 20) for grey in row.float().mean(dim=(0, 2, 3)).tolist()]


def test_every_frame_is_rendered_like_a_picture_with_the_one_box() -> None:
    row, real = rendered(CLIP, FRAMES, VIEW)
    assert isinstance(FRAMES.data, tuple)
    for place, number in enumerate(VIEW.frames):
        assert torch.equal(row[:, place], render(decode_image(FRAMES.data[number]), VIEW))
    assert real == 8


def test_only_the_frames_of_the_view_are_decoded_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def spy(data: bytes) -> np.ndarray:
        decoded.append(data)
        return decode_image(data)

    monkeypatch.setattr(frames_module, "decode_image", spy)
    rendered(CLIP, FRAMES, VIEW)
    assert decoded == [FRAMES.data[1], FRAMES.data[4], FRAMES.data[7]]


def test_stored_frames_and_an_mp4_of_them_look_alike() -> None:
    pictures = [np.roll(np.kron(noise(6, 8, 3), np.ones((8, 8, 1), np.uint8)), 4 * n, axis=1) for n in range(9)]
    rows = [rendered(CLIP, store(pictures), VIEW)[0].float() for store in (frames, clip)]
    assert (rows[0] - rows[1]).abs().mean() < 12
    other = rendered(CLIP, frames(pictures), replace(VIEW, frames=(0, 4, 4, 7)))[0].float()
    assert (rows[1] - other)[:, 0].abs().mean() > 25  # another frame is told apart


@pytest.mark.parametrize("store", [frames, clip])
def test_a_random_clip_shows_the_frames_that_its_view_names(store: Store) -> None:
    stored = store(numbered(12))
    source = FreshViews(policy=CROP, time=RandomClip(count=4, stride=2))
    seen = set()
    for epoch in range(10):
        view = source.choose("a", epoch=epoch, seed=1, extent=extent_of(CLIP, stored))[1]
        assert tuple(shown(rendered(CLIP, stored, view)[0])) == view.frames
        seen.add(view.frames)
    assert len(seen) > 2


@pytest.mark.parametrize("store", [frames, clip])
@pytest.mark.parametrize(("count", "expected"), [(3, [0, 1, 2, 2]), (1, [0, 0, 0, 0])])
def test_a_short_clip_shows_its_last_frame_again(store: Store, count: int, expected: list[int]) -> None:
    stored = store(numbered(count))
    source = FreshViews(policy=CROP, time=CentreClip(count=4))
    view = source.choose("a", epoch=0, seed=1, extent=extent_of(CLIP, stored))[1]
    row, real = rendered(CLIP, stored, view)
    assert (shown(row), real) == (expected, 8)


def test_a_second_camera_shows_what_it_saw_at_the_same_time() -> None:
    stored = frames(numbered(12))
    extent = Extent(height=48, width=64, times=(0.0, 0.5, 1.0, 1.5), seconds=2.0)
    view = replace(VIEW, frames=(0, 1, 2, 3))
    times = [number * 0.25 + 0.1 for number in range(12)]
    assert shown(rendered(CLIP, stored, view, extent=extent, times=times)[0]) == [0, 1, 3, 5]


def test_a_video_of_another_size_gets_the_proportional_box() -> None:
    bars = [np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 3, 3, axis=2).repeat(48, axis=0)] * 4
    small = [np.ascontiguousarray(picture[::2, ::2]) for picture in bars]
    view = View(top=0, left=16, height=48, width=32, size=16, frames=(0, 1, 2, 3))
    large_row = rendered(CLIP, frames(bars), view)[0].int()
    small_row = rendered(CLIP, frames(small), view, extent=extent_of(CLIP, frames(bars)))[0].int()
    assert (large_row - small_row).abs().float().mean() < 5


def test_rows_without_a_clip_are_black_in_the_layout_of_frames() -> None:
    rows = CLIP.empty(2)
    assert rows.shape == (2, 3, 4, 16, 16)
    assert rows.stride() == rendered_strides(rows)
    assert not rows.any()


def rendered_strides(rows: torch.Tensor) -> tuple[int, ...]:
    row, _ = rendered(CLIP, FRAMES, VIEW)
    return (rows[0].numel(), *row.stride())


def test_a_view_of_another_number_of_frames_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'video' takes 4 frames, but the view shows 0\. .* RandomClip\(count=4\)"):
        rendered(CLIP, FRAMES, replace(VIEW, frames=()))


def test_damaged_missing_and_resized_frames_are_decode_errors() -> None:
    assert isinstance(FRAMES.data, tuple)
    with pytest.raises(DecodeError, match="Frame 7 was asked for; 5 frames are stored"):
        rendered(CLIP, replace(FRAMES, data=FRAMES.data[:5]), VIEW)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        rendered(CLIP, replace(FRAMES, data=(*FRAMES.data[:4], b"\xff\xd8\xff", *FRAMES.data[5:])), VIEW)
    with pytest.raises(DecodeError, match=r"It has \(48, 64\) pixels, but \(48, 62\) were recorded"):
        rendered(CLIP, FRAMES, VIEW, width=62)
    stored = clip(numbered(5))
    with pytest.raises(DecodeError, match="the last one number 7; 2 exist"):
        rendered(CLIP, stored, VIEW)


def test_frames_whose_times_the_index_does_not_know_are_refused() -> None:
    with pytest.raises(MissingFieldError, match=r"does not know 'video\.times'"):
        extent_of(CLIP, FRAMES, times=None)
