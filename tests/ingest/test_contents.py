from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contents import Content, combined_digest, cut_clips, settle
from ingest.items import Part, RawItem
from ingest.settings import Filters, IngestSettings, SplitBy, Splits, VideoSettings
from shards.errors import SettingsError
from shards.schema import RejectReason


def item(identity: str, **facts: object) -> RawItem:
    return RawItem(identity=identity, parts=(Part(field="image", kind="image", uri=identity),), **facts)  # type: ignore[arg-type]


def film(identity: str, *more: Part) -> RawItem:
    return RawItem(identity=identity, parts=(Part(field="video", kind="video", uri=identity), *more), label="birds")


def content(digest: int, **facts: object) -> Content:
    return Content(digest=bytes([digest]), **facts)  # type: ignore[arg-type]


def problems(items: list[RawItem]) -> dict[str, str]:
    return {found.identity: found.problem[0].value for found in items if found.problem is not None}


def test_every_copy_but_the_first_is_a_duplicate() -> None:
    listing = [item("a"), item("b"), item("c"), item("d")]
    contents = {"a": content(1), "b": content(2), "c": content(1), "d": content(1)}
    settled = list(settle(listing, contents, IngestSettings(filters=Filters(duplicates=True))))
    assert problems(settled) == {"c": "duplicate", "d": "duplicate"}
    assert settled[2].problem == (RejectReason.DUPLICATE, "the same bytes as 'a', which is kept")


def test_pieces_of_one_file_are_no_duplicates_of_each_other() -> None:
    parts = [Part(field="video", kind="video", uri="v", start_s=start, end_s=start + 1) for start in (0.0, 1.0, 0.0)]
    listing = [RawItem(identity=str(number), parts=(part,)) for number, part in enumerate(parts)]
    contents = {str(number): content(7) for number in range(3)}
    assert problems(list(settle(listing, contents, IngestSettings(filters=Filters(duplicates=True))))) == {
        "2": "duplicate"
    }


def test_an_item_that_is_refused_anyway_does_not_count_as_the_first() -> None:
    listing = [item("a", problem=(RejectReason.MISSING_FILE, "gone")), item("b"), item("c")]
    contents = {"a": content(1), "b": content(2, problem=(RejectReason.CORRUPT_IMAGE, "torn")), "c": content(2)}
    settled = list(settle(listing, contents, IngestSettings(filters=Filters(duplicates=True))))
    assert problems(settled) == {"a": "missing_file", "b": "corrupt_image"}


def test_pictures_that_look_alike_are_near_duplicates_of_the_first() -> None:
    listing = [item("a"), item("b"), item("c"), item("d")]
    look = 0x0F0F_3333_5555_00FF
    contents = {
        "a": content(1, phash=look),
        "b": content(2, phash=look ^ 0b101),
        "c": content(3, phash=look ^ 0b1111),
        "d": content(4),
    }
    settings = IngestSettings(filters=Filters(near_duplicates=2))
    assert problems(list(settle(listing, contents, settings))) == {"b": "near_duplicate"}


@given(st.integers(0, 2**32), st.sampled_from(list(SplitBy)))
def test_the_same_content_or_group_is_never_divided_between_splits(seed: int, by: SplitBy) -> None:
    listing = [item(str(number), group=f"speaker {number % 7}") for number in range(50)]
    contents = {str(number): content(number % 11) for number in range(50)}
    settings = IngestSettings(seed=seed, splits=Splits(shares=(("val", 0.3), ("test", 0.2)), by=by))
    settled = list(settle(listing, contents, settings))
    together = {by.CONTENT: lambda found: contents[found.identity].digest, by.GROUP: lambda found: found.group}[by]
    assert len({(together(found), found.split) for found in settled}) == len({together(found) for found in settled})
    assert {found.split for found in settled} <= {"train", "val", "test"}


def test_splits_have_about_the_shares_that_were_asked_for() -> None:
    listing = [item(str(number)) for number in range(20_000)]
    settings = IngestSettings(splits=Splits(shares=(("val", 0.1), ("test", 0.25)), by=SplitBy.GROUP))
    counts = Counter(found.split for found in settle(listing, {}, settings))
    # Five standard deviations of a binomial draw.
    assert counts["val"] == pytest.approx(2000, abs=5 * 42.5)
    assert counts["test"] == pytest.approx(5000, abs=5 * 61.3)


def test_an_item_keeps_its_split_when_others_are_added() -> None:
    settings = IngestSettings(splits=Splits(shares=(("val", 0.5),), by=SplitBy.GROUP))
    few = [item(str(number)) for number in range(20)]
    many = [item(str(number)) for number in range(40)]
    before = {found.identity: found.split for found in settle(few, {}, settings)}
    after = {found.identity: found.split for found in settle(many, {}, settings)}
    assert before.items() <= after.items()


def test_splits_of_the_source_stand_and_everything_else_is_for_training() -> None:
    listing = [item("a", split="val"), item("b")]
    assert [found.split for found in settle(listing, {}, IngestSettings())] == ["val", "train"]
    shares = IngestSettings(splits=Splits(shares=(("test", 0.5),), by=SplitBy.GROUP))
    with pytest.raises(SettingsError, match="the source names the split of 'a' itself, 'val'"):
        list(settle(listing, {}, shares))


def test_a_video_becomes_one_item_for_each_clip_with_all_that_is_said_about_it() -> None:
    sound = Part(field="audio", kind="audio", uri="a.wav")
    caption = Part(field="text", kind="text", inline=b"birds")
    clips = list(
        cut_clips([film("a.mp4", sound, caption)], {"a.mp4": content(1, seconds=25.0)}, VideoSettings(clip_seconds=10))
    )
    assert [(clip.group, clip.place, clip.label) for clip in clips] == [("a.mp4", n, "birds") for n in range(3)]
    assert [(clip.parts[0].start_s, clip.parts[0].end_s) for clip in clips] == [(0, 10), (10, 20), (20, 25)]
    assert all(clip.parts[1].start_s == clip.parts[0].start_s and clip.parts[2] == caption for clip in clips)
    assert len({clip.key for clip in clips}) == 3


def test_clips_of_a_video_stay_in_its_split() -> None:
    listing = [film(f"{number}.mp4") for number in range(30)]
    contents = {f"{number}.mp4": content(number, seconds=50.0) for number in range(30)}
    settings = IngestSettings(
        video=VideoSettings(clip_seconds=10), splits=Splits(shares=(("val", 0.5),), by=SplitBy.GROUP)
    )
    settled = list(settle(listing, contents, settings))
    assert len(settled) == 150
    assert len({(clip.group, clip.split) for clip in settled}) == 30


def test_what_is_cut_already_and_what_cannot_be_read_is_not_cut() -> None:
    by_hand = RawItem(identity="row", parts=(Part(field="video", kind="video", uri="v", start_s=3.0, end_s=9.0),))
    broken = film("broken.mp4")
    contents = {
        "row": content(1, seconds=100.0),
        "broken.mp4": content(2, problem=(RejectReason.CORRUPT_VIDEO, "torn")),
    }
    settled = list(settle([by_hand, broken], contents, IngestSettings(video=VideoSettings(clip_seconds=1))))
    assert settled[0] == by_hand
    assert problems(settled) == {"broken.mp4": "corrupt_video"}


def test_the_digest_of_an_item_depends_on_which_field_holds_what() -> None:
    assert combined_digest({"left": b"1", "right": b"2"}) == combined_digest({"right": b"2", "left": b"1"})
    assert combined_digest({"left": b"1", "right": b"2"}) != combined_digest({"left": b"2", "right": b"1"})
