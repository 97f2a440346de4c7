from pathlib import Path

import pytest

from tests.ingest.listing import listed, opened
from tests.ingest.pictures import write_files


def groups(folder: Path, **rules: list[str]) -> dict[str, tuple[str, int]]:
    return {name: (item.group, item.place) for name, item in listed(opened(folder, **rules)).items()}


def test_numbered_sweeps_of_a_folder_are_a_group_in_their_order(tmp_path: Path) -> None:
    names = ["drive/9.bin", "drive/10.bin", "drive/8.bin", "other/000001.pcd", "other/000002.pcd"]
    assert groups(write_files(tmp_path, dict.fromkeys(names, b"x"))) == {
        "drive/8": ("drive", 8),
        "drive/9": ("drive", 9),
        "drive/10": ("drive", 10),
        "other/000001": ("other", 1),
        "other/000002": ("other", 2),
    }


def test_sweeps_with_pictures_of_other_folders_are_a_group(tmp_path: Path) -> None:
    names = [f"kitti/{folder}/00000{n}.{ending}" for n in range(3) for folder, ending in (("v", "bin"), ("i", "jpg"))]
    found = groups(write_files(tmp_path, dict.fromkeys(names, b"x")), fields=["points=v/*.bin", "image=i/*.jpg"])
    assert found == {f"kitti/00000{n}": ("kitti/v", n) for n in range(3)}


@pytest.mark.parametrize(
    "names", [["a.bin", "b.bin"], ["1.bin"], ["cat1.pcd", "horse1.pcd"], ["1.ply", "2.ply"], ["1.jpg", "2.jpg"]]
)
def test_files_that_are_no_sequence_of_sweeps_are_no_group(tmp_path: Path, names: list[str]) -> None:
    found = groups(write_files(tmp_path, dict.fromkeys(names, b"x")))
    assert set(found.values()) == {("", -1)}


def test_sweeps_of_the_folder_itself_are_called_after_it(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "drive", {"000000.bin": b"x", "000001.bin": b"x", "000003.bin": b"x"})
    expected = {"000000": ("drive", 0), "000001": ("drive", 1), "000003": ("drive", 3)}
    assert groups(folder) == expected


def test_a_folder_in_a_folder_of_the_same_name_is_another_group(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "drive", dict.fromkeys(["1.bin", "2.bin", "drive/1.bin", "drive/2.bin"], b"x"))
    assert {group for group, _ in groups(folder).values()} == {".", "drive"}
