import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.video.clips import cut, middles

lengths = st.floats(0.01, 5000)


@pytest.mark.parametrize(
    ("seconds", "clip", "stride", "clips"),
    [
        (10, None, None, [(0, 10)]),
        (10, 5, None, [(0, 5), (5, 10)]),
        (12, 5, None, [(0, 5), (5, 10)]),
        (12.5, 5, None, [(0, 5), (5, 10), (10, 12.5)]),
        (3, 5, None, [(0, 3)]),
        (1, 5, None, [(0, 1)]),
        (10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10), (8, 10)]),
        (10, 2, 4, [(0, 2), (4, 6), (8, 10)]),
        (10.0000004, 5, None, [(0, 5), (5, 10)]),
    ],
)
def test_clips_are_cut_at_strides_and_a_short_rest_is_left_out(
    seconds: float, clip: float | None, stride: float | None, clips: list[tuple[float, float]]
) -> None:
    found = cut(seconds, clip_seconds=clip, clip_stride=stride)
    assert np.array(found) == pytest.approx(np.array(clips))


@given(seconds=lengths, clip=st.floats(0.5, 60), stride=st.none() | st.floats(0.5, 60))
def test_every_clip_but_the_last_ones_is_full_and_all_lie_inside_the_video(
    seconds: float, clip: float, stride: float | None
) -> None:
    clips = cut(seconds, clip_seconds=clip, clip_stride=stride)
    assert clips and clips[0][0] == 0 and all(0 <= start < end <= seconds for start, end in clips)
    starts = [start for start, _ in clips]
    assert starts == sorted(set(starts))
    for start, end in clips:
        is_full = end - start == pytest.approx(clip)
        assert is_full or (end == seconds and (end - start >= clip / 2 - 1e-5 or len(clips) == 1))


@given(seconds=lengths, clip=st.floats(0.5, 60))
def test_clips_end_to_end_leave_less_than_half_a_clip_uncovered(seconds: float, clip: float) -> None:
    clips = cut(seconds, clip_seconds=clip, clip_stride=None)
    assert all(before[1] == pytest.approx(after[0]) for before, after in itertools.pairwise(clips))
    assert seconds - clips[-1][1] < clip / 2 + 1e-5


@given(start=st.floats(0, 100), seconds=lengths, parts=st.integers(1, 64))
def test_middles_are_as_far_from_each_other_as_twice_from_the_ends(start: float, seconds: float, parts: int) -> None:
    moments = middles(start, start + seconds, parts)
    length = seconds / parts
    assert moments[0] - start == pytest.approx(length / 2, abs=1e-6)
    assert start + seconds - moments[-1] == pytest.approx(length / 2, abs=1e-6)
    assert [after - before for before, after in itertools.pairwise(moments)] == pytest.approx(
        [length] * (parts - 1), abs=1e-6
    )
