from pathlib import Path

import pytest

from ingest.sources.endings import ending_hint
from tests.ingest.listing import listed, opened
from tests.ingest.pictures import write_files

INTRODUCTION = "the names look like {} fields of one item; if they are: "


def hint(folder: Path, names: list[str]) -> str | None:
    return ending_hint(opened(write_files(folder, dict.fromkeys(names, b"x"))).scan())


def named(endings: list[str], prefixes: str = "a/b/c_1") -> list[str]:
    return [f"{prefix}{ending}" for prefix in prefixes.split("/") for ending in endings]


@pytest.mark.parametrize(
    "endings, rules",
    [
        (
            ["_rgb.jpg", "_depth_mm.png", "_seg.png"],
            "--field depth=_depth_mm.png --field image=_rgb.jpg --field segmentation=_seg.png",
        ),
        (["_left.png", "_right.png"], "--field left=_left.png --field right=_right.png"),
        ([".jpg", ".albedo.png"], "--field albedo=.albedo.png --field image=.jpg"),
        ([".jpg", ".txt", "_albedo.png"], "--field image=.jpg --field text=.txt --field albedo=_albedo.png"),
        (["_cam_left.png", "_cam_right.png"], "--field left=_left.png --field right=_right.png"),
    ],
)
def test_beginnings_that_recur_with_several_endings_give_rules_that_join_them(
    tmp_path: Path, endings: list[str], rules: str
) -> None:
    names = named(endings)
    assert hint(tmp_path, names) == INTRODUCTION.format(len(endings)) + rules
    fields = [rule for rule in rules.split(" ") if rule != "--field"]
    assert len(listed(opened(tmp_path, fields=fields))) == 3


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "b.jpg", "c.jpg"],
        named([".jpg", ".txt"]),
        named([".jpg", ".depth.png"]),
        named([".left.jpg", ".right.jpg"]),
        named(["_1.jpg", "_2.jpg"]),
        named([".jpg", ".png"]),
        ["a_rgb.jpg", "a_seg.png", "b.jpg", "c.jpg", "d.jpg"],
        [*named(["_rgb.jpg", "_seg.png"], "a/b"), *(f"other{number}.jpg" for number in range(9))],
        ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "DSC_4.jpg"],
    ],
)
def test_other_names_give_no_hint(tmp_path: Path, names: list[str]) -> None:
    assert hint(tmp_path, names) is None


def test_rows_of_a_table_give_no_hint(tmp_path: Path) -> None:
    names = named(["_rgb.jpg", "_seg.png"])
    write_files(tmp_path, {**dict.fromkeys(names, b"x"), "t.csv": "image\n" + "\n".join(names) + "\n"})
    assert ending_hint(opened(tmp_path / "t.csv").scan()) is None
