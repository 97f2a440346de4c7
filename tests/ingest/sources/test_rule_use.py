import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import SourceError
from shards.tar import TarWriter
from tests.ingest.listing import listed, opened
from tests.ingest.pictures import write_files

NAMES = ["a_rgb.jpg", "a_depth.png", "b_rgb.jpg", "b_depth.png"]


def folder(path: Path) -> Path:
    return write_files(path / "raw", dict.fromkeys(NAMES, b"x"))


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path / "raw.zip", "w") as archive:
        for name in NAMES:
            archive.writestr(name, b"x")
    return path / "raw.zip"


def tarred(path: Path) -> Path:
    with TarWriter(path / "raw.tar") as archive:
        for name in NAMES:
            archive.add(name, b"x")
        archive.finish()
    return path / "raw.tar"


@pytest.mark.parametrize("make", [folder, zipped, tarred])
def test_a_rule_that_no_file_follows_is_refused_with_the_closest_ending(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    source = opened(make(tmp_path), fields=["image=_rgb.jpg", "depth=_dpth.png"])
    expected = (
        r"--field depth=_dpth\.png: no file ends like that; 2 files match no rule, e\.g\. [ab]_depth\.png\. "
        r"Did you mean '_depth\.png'\?"
    )
    for _ in range(2):
        with pytest.raises(SourceError, match=expected):
            listed(source)


def test_a_rule_without_anything_left_for_it_is_refused(tmp_path: Path) -> None:
    source = opened(folder(tmp_path), fields=["image=_rgb.jpg", "depth=_depth.png", "left=_rgb.jpg"])
    with pytest.raises(SourceError, match=r"--field left=_rgb\.jpg: .*every file that is there follows another rule"):
        listed(source)


def test_rules_that_files_follow_are_fine(tmp_path: Path) -> None:
    assert len(listed(opened(folder(tmp_path), fields=["image=_rgb.jpg", "depth=_depth.png"]))) == 2
