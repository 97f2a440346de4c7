import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.settings import (
    AudioSettings,
    Check,
    FetchSettings,
    Filters,
    IngestSettings,
    Limits,
    PointSettings,
    Splits,
    VideoSettings,
    parse_share,
)
from pipelines.settings import apply_settings
from shards.errors import SettingsError

GROUPS: dict[str, type[Any]] = {
    "limits": Limits,
    "filters": Filters,
    "fetch": FetchSettings,
    "audio": AudioSettings,
    "points": PointSettings,
}
NUMBERS = [
    f"{group}.{name}"
    for group, kind in GROUPS.items()
    for name in kind.__dataclass_fields__
    if name not in ("duplicates", "near_duplicates", "allow_private_addresses", "store")
]


def refusal(path: str, value: object) -> str:
    group, name = path.split(".")
    with pytest.raises(SettingsError) as caught:
        GROUPS[group](**{name: value})
    return str(caught.value)


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e9])
def test_no_setting_is_infinite_no_number_or_far_below_zero(path: str, value: float) -> None:
    assert refusal(path, value).startswith(f"{path}={value}: ")


@pytest.mark.parametrize(
    "path, value, wanted",
    [
        ("limits.item_seconds", 0, "from 0.1 to 604800"),
        ("limits.item_seconds", -1, "from 0.1 to 604800"),
        ("limits.item_seconds", 1e300, "from 0.1 to 604800"),
        ("limits.item_memory", (256 << 20) - 1, "268435456 or more"),
        ("limits.pixels", 0, "1 or more"),
        ("limits.video_seconds", 0, "0.01 or more"),
        ("filters.min_side", -3, "1 or more"),
        ("filters.max_aspect", 0.5, "1 or more"),
        ("filters.blank_contrast", 128, "from 0 to 127.5"),
        ("filters.silence_db", 3, "from -120 to 0"),
        ("fetch.retries", -1, "from 0 to 100"),
        ("fetch.timeout_s", 0, "from 0.01 to 86400"),
        ("points.mesh_points", 0, "from 1 to 50000000"),
        ("audio.rate", 3999, "from 4000 to 192000"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_its_name_and_what_is_wanted(
    path: str, value: float, wanted: str
) -> None:
    assert refusal(path, value) == f"{path}={value}: give a number, {wanted}."


def test_what_is_set_on_the_command_line_is_refused_alike() -> None:
    with pytest.raises(SettingsError, match=r"^limits\.item_seconds=0\.0: "):
        apply_settings(IngestSettings(), ["limits.item_seconds=0"])


def test_the_smallest_and_the_largest_are_taken() -> None:
    assert Limits(item_seconds=0.1, item_memory=256 << 20, points=10**400).points == 10**400
    assert Filters(min_side=1, silence_db=-120, blank_contrast=127.5, min_seconds=0).min_side == 1
    assert FetchSettings(retries=0, redirects=0).retries == 0


@pytest.mark.parametrize("kind", ["seconds", "characters"])
def test_a_least_above_the_most_is_refused(kind: str) -> None:
    with pytest.raises(SettingsError, match=f"filters.min_{kind}=5 is above filters.max_{kind}=4"):
        Filters(**{f"min_{kind}": 5, f"max_{kind}": 4})
    assert Filters(**{f"min_{kind}": 4, f"max_{kind}": 4})


@pytest.mark.parametrize("value", [0.0, 1e-8, 0.0099, -1.0, math.nan, math.inf])
def test_clips_and_strides_below_a_hundredth_of_a_second_are_refused(value: float) -> None:
    with pytest.raises(SettingsError, match=f"^--clip-seconds {value}: "):
        VideoSettings(clip_seconds=value)
    with pytest.raises(SettingsError, match=f"^--clip-stride {value}: "):
        VideoSettings(clip_seconds=1.0, clip_stride=value)


@given(stride=st.floats(0.01, 10), clip=st.floats(0.01, 10))
def test_clips_and_strides_from_a_hundredth_of_a_second_on_are_taken(stride: float, clip: float) -> None:
    assert VideoSettings(clip_seconds=clip, clip_stride=stride).clip_stride == stride


@pytest.mark.parametrize("frames", [0, 65_537])
def test_a_clip_of_no_or_countless_frames_is_refused(frames: int) -> None:
    with pytest.raises(SettingsError, match=f"^--clip-frames {frames}: "):
        VideoSettings(frames=frames)


@pytest.mark.parametrize(
    "shares, message",
    [
        ("val=nan", "a share is a number above 0 and below 1"),
        ("val=inf", "a share is a number"),
        ("val=0", "a share is a number"),
        ("val=-0.5", "a share is a number"),
        ("val=1", "a share is a number"),
        ("val=10%", "write NAME=SHARE"),
        ("val", "write NAME=SHARE"),
        ("train=0.5", "'train' cannot name a split"),
        ("my split=0.5", "'my split' cannot name a split"),
        ("=0.5", "'' cannot name a split"),
        ("val=0.1 val=0.2", "--split val=0.2: val has a share already"),
        ("val=0.1 test=0.3 val=0.1", "val has a share already"),
        ("val=0.5 test=0.5", "the shares add up to 1 or more"),
    ],
)
def test_splits_that_make_no_sense_are_refused_for_what_is_wrong(shares: str, message: str) -> None:
    given = [shares] if shares.startswith("my ") else shares.split(" ")
    with pytest.raises(SettingsError) as caught:
        Splits(shares=tuple(map(parse_share, given)))
    assert message in str(caught.value)


def test_settings_are_read_back_as_they_were() -> None:
    settings = IngestSettings(
        video=VideoSettings(clip_seconds=2.0, clip_stride=0.5),
        filters=Filters(min_side=64),
        splits=Splits(shares=(("val", 0.1),)),
        limits=Limits(video_seconds=60.0),
    )
    assert IngestSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("filters", [Filters(near_duplicates=3), Filters(blank_contrast=2.0)])
def test_filters_that_look_at_pictures_are_refused_where_pictures_are_not_decoded(filters: Filters) -> None:
    with pytest.raises(SettingsError, match="--check header leaves them unseen"):
        IngestSettings(filters=filters, check=Check.HEADER)
