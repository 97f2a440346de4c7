from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.fields import by_extension, by_first_dot, by_rules, kind_of_extension, parse_field_rule
from shards.errors import SettingsError
from shards.schema import is_valid_field_name


def told(field: Any) -> Any:
    return None if field is None else (field.stem, field.name, field.kind)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("a.jpg", ("a", "image", "image")),
        ("x/A.JPG", ("x/A", "image", "image")),
        ("a.mp4", ("a", "video", "video")),
        ("a.opus", ("a", "audio", "audio")),
        ("a.laz", ("a", "points", "points")),
        ("a.xyz", ("a", "points", "points")),
        ("a.pcd.bin", ("a", "points", "points")),
        ("a.bin", ("a", "points", "points")),
        ("a.caption", ("a", "text", "text")),
        ("a.cls", ("a", "label", "label")),
        ("a.json", ("a", "metadata", "metadata")),
        ("a.b.jpg", ("a.b", "image", "image")),
        ("a.depth.png", ("a", "depth", "raster")),
        ("a.Depth.png", ("a", "depth", "raster")),
        ("a.segmentation.png", ("a", "segmentation", "ids")),
        ("a.depth.npy", ("a", "depth", "raster")),
        ("a.points.npy", ("a", "points", "points")),
        ("a.left.png", ("a", "left", "image")),
        ("a.image_2.jpg", ("a", "image_2", "image")),
        ("a.left.mp4", ("a", "left", "video")),
        ("a.depth.txt", ("a.depth", "text", "text")),
        ("a.0.txt", ("a.0", "text", "text")),
        ("a.image.npy", None),
        ("a.npy", None),
        ("a.npz", None),
        ("a.pdf", None),
        ("jpg", None),
        ("folder.jpg/a", None),
        (".jpg", None),
        ("depth.png", ("depth", "image", "image")),
    ],
)
def test_extension_and_well_known_names_say_what_a_file_is(path: str, expected: Any) -> None:
    assert told(by_extension(path)) == expected


@pytest.mark.parametrize(
    "path, expected",
    [
        ("a.jpg", ("a", "image", "image")),
        ("./x/a.left.jpg", ("x/a", "left", "image")),
        ("a.depth.png", ("a", "depth", "raster")),
        ("a.question.txt", ("a", "question", "text")),
        ("a.pcd.bin", ("a", "points", "points")),
        ("a.lidar.pcd.bin", ("a", "lidar", "points")),
        ("a.points.npy", ("a", "points", "points")),
        ("a.frame-00.jpg", None),
        ("a.logmel.npy", None),
        ("a.2019.jpg", None),
        ("a.other.cls", None),
        ("a.npy", None),
    ],
)
def test_in_a_tar_everything_behind_the_first_dot_is_the_field(path: str, expected: Any) -> None:
    assert told(by_first_dot(path)) == expected


@given(st.text(max_size=12), st.sampled_from(["jpg", "depth.png", "txt", "npy", "pcd.bin", "json", "x"]))
def test_whatever_a_file_is_called_its_field_can_be_declared_and_its_stem_begins_it(stem: str, ending: str) -> None:
    for naming in (by_extension, by_first_dot):
        found = naming(f"{stem}.{ending}")
        if found is not None:
            assert is_valid_field_name(found.name)
            path = f"{stem}.{ending}"
            # The key of a member is the same with `./` or a slash before it and without.
            spellings = (path, path.removeprefix("./"), path.removeprefix("./").removeprefix("/"))
            assert any(spelling.startswith(found.stem) for spelling in spellings)


def test_rules_alone_decide_and_the_longest_suffix_first() -> None:
    rules = ["image=.png", "depth=_depth.png", "segmentation:ids=_seg.png", "tts:audio=.wav", "label=.cls"]
    naming = by_rules([parse_field_rule(rule) for rule in rules])
    assert told(naming("x/a_depth.png")) == ("x/a", "depth", "raster")
    assert told(naming("x/a_seg.png")) == ("x/a", "segmentation", "ids")
    assert told(naming("x/a.png")) == ("x/a", "image", "image")
    assert told(naming("a.wav")) == ("a", "tts", "audio")
    assert told(naming("a.cls")) == ("a", "label", "label")
    assert naming("a.jpg") is None
    assert naming("x/_seg.png") == by_rules([parse_field_rule("image=.png")])("x/_seg.png")


def test_a_star_lets_files_of_different_folders_meet() -> None:
    naming = by_rules([parse_field_rule(rule) for rule in ("image=rgb/*.jpg", "depth=depth/d_*.png")])
    assert told(naming("room/rgb/1.jpg")) == ("room/1", "image", "image")
    assert told(naming("room/depth/d_1.png")) == ("room/1", "depth", "raster")
    assert told(naming("rgb/deep/1.jpg")) == ("deep/1", "image", "image")
    assert naming("room/notrgb/1.jpg") is None
    assert naming("room/rgb/.jpg") is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("image", "write NAME"),
        ("=.jpg", "write NAME"),
        ("image=", "write NAME"),
        ("image:imgae=.jpg", "Did you mean 'image'?"),
        ("Image=.jpg", "cannot name a field.*Did you mean 'image'?"),
        ("group=.jpg", "cannot name a field"),
        ("jpg=.jpg", "cannot name a field"),
        ("thing=.dat", "Write --field thing:KIND=.dat"),
        ("image=*/*.jpg", "at most one"),
        ("kind:label=.cls", "kind label is called label"),
        ("label:text=.txt", "kind text is called text, and no other|is called"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_field_rule(text)


def test_an_extension_counts_only_in_the_name_of_the_file() -> None:
    assert kind_of_extension("folder.jpg/readme") is None
    assert kind_of_extension("https://host/a.b/c.WAV") == "audio"
