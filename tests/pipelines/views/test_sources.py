import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.views import (
    CenterCrop,
    CentreClip,
    ColourFactors,
    ColourJitter,
    Extent,
    FreshViews,
    MultiScaleCrop,
    RandomClip,
    RandomFrames,
    RandomResizedCrop,
    RandomSpan,
    TimePolicy,
    UniformFrames,
    View,
    ViewPolicy,
    ViewSet,
    ViewSource,
    WholeSpan,
)
from shards.errors import SettingsError

CROP = RandomResizedCrop(size=224, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
SET = ViewSet(policy=CROP, count=4, seed=9)
EXTENT = Extent(height=375, width=500, times=tuple(number / 4 for number in range(40)), seconds=10.0)
CLIPS = RandomClip(count=4, stride=2)


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


@pytest.mark.parametrize(
    "policy", [CROP, CenterCrop(size=96), MultiScaleCrop(size=8), ColourJitter(crop=CROP, saturation=0.1), None]
)
@pytest.mark.parametrize(
    "time",
    [
        CLIPS,
        CentreClip(count=2),
        UniformFrames(count=3),
        RandomFrames(count=3),
        RandomSpan(seconds=2.5),
        WholeSpan(frames=RandomFrames(count=1)),
        WholeSpan(),
        None,
    ],
)
def test_a_view_set_survives_json(policy: ViewPolicy | None, time: TimePolicy | None) -> None:
    views = replace(SET, policy=policy, time=time)
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


def test_sets_of_targets_that_were_stored_long_ago_are_written_as_before() -> None:
    assert json.dumps(SET.to_json()) == (
        '{"policy": "RandomResizedCrop", "parameters": {"size": 224, "scale": [0.2, 1.0], '
        '"ratio": [0.75, 1.3333333333333333], "flip_probability": 0.5}, "count": 4, "seed": 9}'
    )
    assert json.dumps(ViewSet(policy=CenterCrop(size=96), count=1, seed=0).to_json()) == (
        '{"policy": "CenterCrop", "parameters": {"size": 96}, "count": 1, "seed": 0}'
    )
    assert [SET.choose("a", epoch=epoch, seed=1, extent=EXTENT)[0] for epoch in range(12)] == [
        *(0, 1, 0, 1, 3, 0, 2, 1, 0, 1, 3, 0)
    ]


@pytest.mark.parametrize(
    ("policy", "time", "expected"),
    [
        (
            ColourJitter(crop=CROP),
            RandomClip(count=4, stride=2),
            View(
                top=30,
                left=183,
                height=344,
                width=313,
                flip=True,
                size=224,
                colours=ColourFactors(
                    brightness=1.3832115252963988, contrast=0.9138658414308004, saturation=0.8926096586494555
                ),
                frames=(18, 20, 22, 24),
                start=4.5,
                seconds=1.75,
                ticket=5869202326822208795,
            ),
        ),
        (
            MultiScaleCrop(size=224, flip_probability=0.5),
            RandomFrames(count=4),
            View(
                top=33,
                left=129,
                height=328,
                width=328,
                size=224,
                frames=(5, 15, 24, 38),
                start=1.25,
                seconds=8.5,
                ticket=5869202326822208795,
            ),
        ),
        (None, RandomSpan(seconds=2.5), View(start=4.249015824505141, seconds=2.5, ticket=5869202326822208795)),
    ],
    ids=["clip", "frames", "sound"],
)
def test_views_that_targets_name_never_change(policy: ViewPolicy | None, time: TimePolicy, expected: View) -> None:
    assert ViewSet(policy=policy, count=4, seed=9, time=time).view("a", 2, extent=EXTENT) == expected


def test_an_unknown_time_policy_is_refused_with_the_closest_name() -> None:
    written = replace(SET, time=CLIPS).to_json()
    written["time"]["policy"] = "RandomCip"
    with pytest.raises(SettingsError, match=r"names the policy 'RandomCip'.*Did you mean 'RandomClip'"):
        ViewSet.from_json(written)
    with pytest.raises(SettingsError, match=r"unknown entry 'tmie'\. Did you mean 'time'"):
        ViewSet.from_json(SET.to_json() | {"tmie": written["time"]})


@pytest.mark.parametrize(
    "source", [FreshViews(policy=CROP, time=CLIPS), replace(SET, time=CLIPS)], ids=["fresh", "set"]
)
def test_two_looks_at_one_sample_differ_in_place_time_and_ticket(source: ViewSource) -> None:
    differ = np.zeros(3)
    for number in range(100):
        (_, first), (_, second) = (
            source.choose(str(number), epoch=3, seed=1, extent=EXTENT, look=look) for look in range(2)
        )
        differ += [first.top != second.top, first.frames != second.frames, first.ticket != second.ticket]
    assert differ.tolist()[2] == 100
    assert differ[:2].min() > 80


@given(st.text(max_size=8), st.integers(0, 99), st.integers(0, 99), st.integers(1, 9))
def test_looks_at_a_set_have_different_views_as_long_as_there_are_some(
    key: str, epoch: int, seed: int, count: int
) -> None:
    views = replace(SET, count=count)
    numbers = [views.choose(key, epoch=epoch, seed=seed, extent=EXTENT, look=look)[0] for look in range(count)]
    assert sorted(numbers) == list(range(count))


def test_every_look_at_a_set_has_any_view_with_equal_probability() -> None:
    numbers = [SET.choose("a", epoch=epoch, seed=1, extent=EXTENT, look=2)[0] for epoch in range(2000)]
    assert np.bincount(numbers, minlength=4).min() > 430


def test_a_time_policy_leaves_the_crops_alone() -> None:
    _, with_time = FreshViews(policy=CROP, time=CLIPS).choose("a", epoch=2, seed=1, extent=EXTENT)
    _, without = FreshViews(policy=CROP).choose("a", epoch=2, seed=1, extent=EXTENT)
    assert replace(with_time, frames=(), start=0.0, seconds=None) == without
    assert len(with_time.frames) == 4


def test_colours_leave_the_crops_alone_and_are_uniform_in_their_range() -> None:
    jitter = ColourJitter(crop=CROP, brightness=0.4, contrast=0.1, saturation=1.5)
    views = [jitter.view(str(number), 0, height=375, width=500, seed=1) for number in range(2000)]
    assert replace(views[0], colours=None) == CROP.view("0", 0, height=375, width=500, seed=1)
    factors = np.array([(v.colours.brightness, v.colours.contrast, v.colours.saturation) for v in views if v.colours])
    assert np.allclose(factors.min(axis=0), [0.6, 0.9, 0.0], atol=0.01)
    assert np.allclose(factors.max(axis=0), [1.4, 1.1, 2.5], atol=0.01)
    assert np.allclose(factors.mean(axis=0), [1.0, 1.0, 1.25], atol=0.05)
    assert abs(np.corrcoef(factors.T)[0, 1:]).max() < 0.1
    with pytest.raises(SettingsError, match="give 0 or more"):
        ColourJitter(crop=CROP, contrast=-0.1)


@pytest.mark.parametrize("source", [FreshViews(policy=None), ViewSet(policy=None, count=2, seed=0)])
def test_views_without_a_policy_have_a_ticket_and_no_box(source: ViewSource) -> None:
    _, view = source.choose("a", epoch=0, seed=1, extent=EXTENT)
    assert (source.size, source.num_frames, view.size, view.height, view.seconds) == (0, 0, 0, 0, None)
    assert view.ticket


def test_a_sample_without_a_picture_has_no_box() -> None:
    _, view = FreshViews(policy=CROP).choose("a", epoch=0, seed=1, extent=Extent(seconds=3.0))
    assert (view.height, view.width, view.size) == (0, 0, 0)


def test_tickets_differ_between_keys_views_and_seeds() -> None:
    sets = [ViewSet(policy=None, count=9, seed=seed) for seed in range(9)]
    tickets = {views.view(str(key), k, extent=EXTENT).ticket for views in sets for key in range(9) for k in range(9)}
    assert len(tickets) == 9**3
    assert 0.4 < np.mean([ticket >> 63 for ticket in tickets]) < 0.6


def test_an_empty_view_set_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 views"):
        ViewSet(policy=CROP, count=0, seed=0)
