from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.views import CenterCrop, MultiScaleCrop, RandomResizedCrop, View
from shards.errors import SettingsError

CROP = RandomResizedCrop(size=224, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
MULTI = MultiScaleCrop(size=224, flip_probability=0.5)
SIDE = st.integers(1, 5000)


@pytest.mark.parametrize("policy", [CROP, MULTI], ids=["resized", "scales"])
@given(height=SIDE, width=SIDE, key=st.text(max_size=20), k=st.integers(0, 100))
def test_a_crop_lies_inside_the_picture(
    policy: RandomResizedCrop | MultiScaleCrop, height: int, width: int, key: str, k: int
) -> None:
    view = policy.view(key, k, height=height, width=width, seed=1)
    assert view.height >= 1
    assert view.width >= 1
    assert 0 <= view.top <= height - view.height
    assert 0 <= view.left <= width - view.width


@pytest.mark.parametrize(
    ("key", "k", "size", "seed", "box"),
    [
        ("a", 0, (375, 500), 1, (48, 57, 295, 259, False)),
        ("a", 1, (375, 500), 1, (20, 109, 296, 264, True)),
        ("b/é", 3, (480, 640), 9, (0, 9, 328, 273, True)),
        ("sample-0001", 2, (33, 1000), 0, (0, 478, 33, 44, True)),
        ("x", 7, (1, 1), 5, (0, 0, 1, 1, False)),
    ],
)
def test_crops_of_targets_that_were_stored_long_ago_are_still_the_same(
    key: str, k: int, size: tuple[int, int], seed: int, box: tuple[int, int, int, int, bool]
) -> None:
    view = CROP.view(key, k, height=size[0], width=size[1], seed=seed)
    assert (view.top, view.left, view.height, view.width, view.flip) == box


def test_a_view_is_a_function_of_seed_key_and_number() -> None:
    base = CROP.view("a", 3, height=375, width=500, seed=1)
    assert CROP.view("a", 3, height=375, width=500, seed=1) == base
    others = [
        CROP.view("b", 3, height=375, width=500, seed=1),
        CROP.view("a", 4, height=375, width=500, seed=1),
        CROP.view("a", 3, height=375, width=500, seed=2),
    ]
    assert base not in others


def test_areas_ratios_and_flips_are_distributed_as_asked_for() -> None:
    views = [CROP.view(str(number), 0, height=1000, width=1000, seed=0) for number in range(3000)]
    areas = np.array([view.height * view.width for view in views]) / 1e6
    log_ratios = np.log([view.width / view.height for view in views])
    assert 0.199 < areas.min() < 0.21
    # Large areas are rejected more often, because a wide or a tall box of that area does not fit.
    assert 0.5 < areas.mean() < 0.6
    assert abs(log_ratios.mean()) < 0.02
    assert np.abs(log_ratios).max() < np.log(4 / 3) + 0.01
    assert 0.46 < np.mean([view.flip for view in views]) < 0.54


@pytest.mark.parametrize(("height", "width", "box"), [(1000, 10, (13, 10)), (10, 1000, (10, 13)), (1, 1, (1, 1))])
def test_a_picture_too_narrow_for_any_crop_gives_the_largest_allowed_centre(
    height: int, width: int, box: tuple[int, int]
) -> None:
    whole = replace(CROP, scale=(1.0, 1.0))
    view = whole.view("a", 0, height=height, width=width, seed=0)
    assert (view.height, view.width) == box
    assert (view.top, view.left) == ((height - box[0]) // 2, (width - box[1]) // 2)


@given(SIDE, SIDE)
def test_the_centre_crop_is_the_largest_centred_square(height: int, width: int) -> None:
    view = CenterCrop(size=64).view("any", 5, height=height, width=width, seed=3)
    assert view.height == view.width == min(height, width)
    assert abs((height - view.height) - 2 * view.top) <= 1
    assert abs((width - view.width) - 2 * view.left) <= 1
    assert not view.flip


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"scale": (0.0, 1.0)}, {"scale": (0.8, 0.2)}, {"ratio": (2.0, 1.0)}, {"flip_probability": 1.5}],
)
def test_impossible_crops_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        replace(CROP, **wrong)  # type: ignore[arg-type]


def published_boxes(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """All crops of GroupMultiScaleCrop (arXiv:2203.12602, official code, transforms.py), as top, left, height, width."""
    sizes = [int(min(width, height) * scale) for scale in (1, 0.875, 0.75, 0.66)]
    for i, crop_height in enumerate(sizes):
        for j, crop_width in enumerate(sizes):
            if abs(i - j) > 1:
                continue
            w_step, h_step = (width - crop_width) // 4, (height - crop_height) // 4
            offsets = [(0, 0), (4 * w_step, 0), (0, 4 * h_step), (4 * w_step, 4 * h_step), (2 * w_step, 2 * h_step)]
            offsets += [(0, 2 * h_step), (4 * w_step, 2 * h_step), (2 * w_step, 4 * h_step), (2 * w_step, 0)]
            offsets += [(w_step, h_step), (3 * w_step, h_step), (w_step, 3 * h_step), (3 * w_step, 3 * h_step)]
            yield from ((top, left, crop_height, crop_width) for left, top in offsets)


def box_of(view: View) -> tuple[int, int, int, int]:
    return view.top, view.left, view.height, view.width


def test_crops_of_several_scales_are_exactly_the_published_ones() -> None:
    views = [MULTI.view(str(number), 0, height=240, width=320, seed=0) for number in range(4000)]
    assert {box_of(view) for view in views} == set(published_boxes(240, 320))
    assert 0.46 < np.mean([view.flip for view in views]) < 0.54
    whole = np.mean([view.height == view.width == 240 for view in views])
    assert 0.08 < whole < 0.12  # one of ten pairs of scales


@pytest.mark.parametrize("wrong", [{"scales": ()}, {"scales": (1.2,)}, {"max_distort": -1}, {"flip_probability": -0.1}])
def test_impossible_scales_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        replace(MULTI, **wrong)  # type: ignore[arg-type]
