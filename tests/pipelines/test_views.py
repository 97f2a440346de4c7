import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.views import CenterCrop, Extent, FreshViews, RandomResizedCrop, ViewSet
from shards.errors import SettingsError

CROP = RandomResizedCrop(size=224, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
SET = ViewSet(policy=CROP, count=4, seed=9)
SIDE = st.integers(1, 5000)
EXTENT = Extent(height=375, width=500)


@given(SIDE, SIDE, st.text(max_size=20), st.integers(0, 100))
def test_a_crop_lies_inside_the_picture(height: int, width: int, key: str, k: int) -> None:
    view = CROP.view(key, k, height=height, width=width, seed=1)
    assert view.height >= 1
    assert view.width >= 1
    assert 0 <= view.top <= height - view.height
    assert 0 <= view.left <= width - view.width


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


def test_fresh_views_differ_between_epochs_and_follow_the_seed_of_the_stream() -> None:
    fresh = FreshViews(policy=CROP)
    chosen = [fresh.choose("a", epoch=epoch, seed=1, extent=EXTENT) for epoch in range(5)]
    assert [k for k, _ in chosen] == [0, 1, 2, 3, 4]
    assert len({view for _, view in chosen}) == 5
    assert fresh.choose("a", epoch=0, seed=2, extent=EXTENT)[1] != chosen[0][1]


def test_a_stored_view_is_the_same_whatever_the_seed_of_the_stream() -> None:
    for seed in range(20):
        k, view = SET.choose("a", epoch=7, seed=seed, extent=EXTENT)
        assert view == SET.view("a", k, extent=EXTENT)


def test_all_stored_views_are_chosen_about_equally_often() -> None:
    chosen = [SET.choose("a", epoch=epoch, seed=1, extent=EXTENT)[0] for epoch in range(2000)]
    counts = np.bincount(chosen, minlength=4)
    assert counts.min() > 430
    assert counts.max() < 570


def test_there_is_no_view_outside_the_set() -> None:
    with pytest.raises(IndexError, match=r"View 4 of sample 'a'.*0\.\.3"):
        SET.view("a", 4, extent=EXTENT)


@pytest.mark.parametrize("policy", [CROP, CenterCrop(size=96)])
def test_a_view_set_survives_json(policy: RandomResizedCrop | CenterCrop) -> None:
    views = replace(SET, policy=policy)
    assert ViewSet.from_json(json.loads(json.dumps(views.to_json()))) == views


def test_an_unknown_policy_is_refused_with_the_closest_name() -> None:
    written = SET.to_json() | {"policy": "RandomResizeCrop"}
    with pytest.raises(SettingsError, match="Did you mean 'RandomResizedCrop'"):
        ViewSet.from_json(written)


def test_an_unknown_or_missing_parameter_is_refused() -> None:
    written = SET.to_json()
    written["parameters"]["flip_probabilty"] = written["parameters"].pop("flip_probability")
    with pytest.raises(SettingsError, match=r"unknown entry 'flip_probabilty'\. Did you mean 'flip_probability'"):
        ViewSet.from_json(written)
    del written["parameters"]["flip_probabilty"]
    with pytest.raises(SettingsError, match="lacks flip_probability"):
        ViewSet.from_json(written)


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"scale": (0.0, 1.0)}, {"scale": (0.8, 0.2)}, {"ratio": (2.0, 1.0)}, {"flip_probability": 1.5}],
)
def test_impossible_crops_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        replace(CROP, **wrong)  # type: ignore[arg-type]


def test_an_empty_view_set_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 views"):
        ViewSet(policy=CROP, count=0, seed=0)
