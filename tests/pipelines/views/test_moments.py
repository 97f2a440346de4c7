from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.views import (
    CentreClip,
    Extent,
    Moment,
    RandomClip,
    RandomFrames,
    RandomSpan,
    TimePolicy,
    UniformFrames,
    WholeSpan,
)
from shards.errors import SettingsError

EXTENT = Extent(times=tuple(number / 4 for number in range(40)), seconds=10.0)


def moments(policy: TimePolicy, extent: Extent = EXTENT, *, count: int = 1000) -> Iterator[Moment]:
    return (policy.moment(str(number), 0, extent=extent, seed=1) for number in range(count))


STEPS = st.lists(st.floats(0.001, 3.0), max_size=50)


def extent_of(steps: Sequence[float]) -> Extent:
    """Return a clip whose frames are shown for so many seconds each."""
    ends = np.cumsum([0.0, *steps]).tolist()
    return Extent(times=tuple(ends[:-1]), seconds=ends[-1])


@st.composite
def policies(draw: st.DrawFn) -> TimePolicy:
    count, stride = draw(st.integers(1, 20)), draw(st.integers(1, 5))
    windows = st.sampled_from([RandomClip(count=count, stride=stride), CentreClip(count=count, stride=stride)])
    parts = st.sampled_from([UniformFrames(count=count), RandomFrames(count=count)])
    frames = draw(windows | parts)
    return draw(st.sampled_from([frames, WholeSpan(frames=frames)]))


@given(policies(), STEPS, st.text(max_size=5), st.integers(0, 9))
def test_a_moment_has_ascending_stored_frames_and_lies_inside_the_clip(
    policy: TimePolicy, steps: list[float], key: str, k: int
) -> None:
    extent = extent_of(steps)
    moment = policy.moment(key, k, extent=extent, seed=3)
    assert len(moment.frames) == (policy.num_frames if extent.times else 0)
    assert list(moment.frames) == sorted(moment.frames)
    assert all(0 <= frame < len(extent.times) for frame in moment.frames)
    assert moment.start >= 0
    assert moment.seconds is None or moment.start + moment.seconds <= extent.seconds + 1e-9
    assert policy.moment(key, k, extent=extent, seed=3) == moment


@given(STEPS.filter(lambda steps: len(steps) > 1), st.integers(1, 9), st.integers(1, 4))
def test_the_span_of_a_clip_covers_exactly_what_its_frames_show(steps: list[float], count: int, stride: int) -> None:
    extent = extent_of(steps)
    moment = RandomClip(count=count, stride=stride).moment("a", 0, extent=extent, seed=0)
    assert moment.start == extent.times[moment.frames[0]]
    ends = [*extent.times[1:], extent.seconds]
    gap = extent.times[-1] - extent.times[-2]
    last = moment.frames[-1]
    shown = ends[last] if last < len(extent.times) - 1 else min(extent.times[-1] + gap, extent.seconds)
    assert moment.start + moment.seconds == pytest.approx(shown)


def test_random_clips_start_at_every_place_that_leaves_room_as_often_as_at_any_other() -> None:
    starts = np.bincount([moment.frames[0] for moment in moments(RandomClip(count=4, stride=8), count=4500)])
    assert len(starts) == 40 - 32 + 1
    assert 420 < starts.min() <= starts.max() < 580
    first = next(moments(RandomClip(count=4, stride=8))).frames
    assert np.diff(first).tolist() == [8, 8, 8]


@pytest.mark.parametrize("policy", [RandomClip(count=6, stride=2), CentreClip(count=6, stride=2)])
def test_a_clip_that_is_too_short_shows_its_last_frame_again(policy: TimePolicy) -> None:
    short = Extent(times=EXTENT.times[:7], seconds=1.75)
    assert all(moment.frames == (0, 2, 4, 6, 6, 6) for moment in moments(policy, short, count=20))
    moment = policy.moment("a", 0, extent=short, seed=0)
    assert (moment.start, moment.seconds) == (0.0, 1.75)


def test_a_centre_clip_leaves_as_much_before_as_behind() -> None:
    moment = CentreClip(count=4, stride=5).moment("a", 3, extent=EXTENT, seed=4)
    assert moment.frames == (10, 15, 20, 25)
    assert (moment.start, moment.seconds) == (2.5, 4.0)


def test_uniform_frames_are_the_middles_of_equal_parts() -> None:
    moment = UniformFrames(count=8).moment("a", 0, extent=EXTENT, seed=0)
    assert moment.frames == (2, 7, 12, 17, 22, 27, 32, 37)
    few = Extent(times=(0.0, 1.0, 2.0), seconds=3.0)
    assert UniformFrames(count=6).moment("a", 0, extent=few, seed=0).frames == (0, 0, 1, 1, 2, 2)


def test_random_frames_are_anywhere_in_their_own_part() -> None:
    chosen = np.array([moment.frames for moment in moments(RandomFrames(count=5))])
    for part, frames in enumerate(chosen.T):
        assert set(frames.tolist()) == set(range(8 * part, 8 * part + 8))
    assert abs(np.corrcoef(chosen.T)[0, 1]) < 0.1


def test_one_frame_may_go_with_all_of_the_sound() -> None:
    chosen = list(moments(WholeSpan(frames=RandomFrames(count=1))))
    assert {moment.frames for moment in chosen} == {(number,) for number in range(40)}
    assert {(moment.start, moment.seconds) for moment in chosen} == {(0.0, 10.0)}
    assert WholeSpan().moment("a", 0, extent=EXTENT, seed=0) == Moment(frames=(), start=0.0, seconds=10.0)


def test_one_frame_alone_lasts_until_the_next_and_a_single_frame_until_the_end() -> None:
    moment = RandomFrames(count=1).moment("a", 0, extent=EXTENT, seed=0)
    assert moment.seconds == 0.25
    single = Extent(times=(0.5,), seconds=2.0)
    assert CentreClip(count=2).moment("a", 0, extent=single, seed=0) == Moment(frames=(0, 0), start=0.5, seconds=1.5)


def test_random_spans_are_uniform_and_never_longer_than_the_sound() -> None:
    starts = np.array([moment.start for moment in moments(RandomSpan(seconds=4.0))])
    assert 0 <= starts.min() < 0.05
    assert 5.95 < starts.max() <= 6
    assert abs(starts.mean() - 3) < 0.15
    short = Extent(seconds=1.5)
    assert RandomSpan(seconds=4.0).moment("a", 0, extent=short, seed=0) == Moment(frames=(), start=0.0, seconds=1.5)
    assert RandomSpan(seconds=4.0).moment("a", 0, extent=Extent(), seed=0) == Moment(frames=(), start=0.0, seconds=4.0)


@pytest.mark.parametrize(
    "policy", [RandomClip(count=3), CentreClip(count=3), UniformFrames(count=3), RandomFrames(count=3)]
)
def test_a_sample_without_frames_has_all_of_its_sound(policy: TimePolicy) -> None:
    moment = policy.moment("a", 0, extent=Extent(seconds=7.0), seed=0)
    assert moment == Moment(frames=(), start=0.0, seconds=7.0)


@pytest.mark.parametrize("policy", [RandomClip, CentreClip, UniformFrames, RandomFrames])
def test_clips_without_frames_or_steps_are_refused(policy: type[TimePolicy]) -> None:
    with pytest.raises(SettingsError, match="0 frames"):
        policy(count=0)  # type: ignore[call-arg]


def test_steps_and_spans_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="3 frames, 0 apart"):
        RandomClip(count=3, stride=0)
    with pytest.raises(SettingsError, match=r"0\.0 seconds"):
        RandomSpan(seconds=0.0)
