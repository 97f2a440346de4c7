import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.points.sweeps import sweep_order, sweep_places

_NAMES = st.lists(st.text(alphabet="ab_.-0129", max_size=12), max_size=8)


def test_frame_numbers_count_as_numbers() -> None:
    assert sweep_order(["10.bin", "9.bin", "0000000012.bin", "1.bin"]) == ["1.bin", "9.bin", "10.bin", "0000000012.bin"]


def test_time_stamps_decide_for_sweeps_of_one_drive() -> None:
    names = [
        f"n015-2018-07-24-11-22-45+0800__LIDAR_TOP__{stamp}.pcd.bin" for stamp in (1532402927647951, 1532402928147847)
    ]
    assert sweep_order(names[::-1]) == names


def test_drives_follow_each_other() -> None:
    names = ["n015-2018-07-24__LIDAR__9.bin", "n015-2018-07-24__LIDAR__10.bin", "n015-2018-10-02__LIDAR__1.bin"]
    assert sweep_order(names[::-1]) == names


@given(_NAMES)
def test_the_order_does_not_depend_on_the_order_of_listing(names: list[str]) -> None:
    ordered = sweep_order(names)
    assert sorted(ordered) == sorted(names)
    assert sweep_order(names[::-1]) == ordered


def test_a_hole_in_numbered_sweeps_stays_one() -> None:
    names = ["000000.bin", "000001.bin", "000003.bin"]
    assert sweep_places(names[::-1]) == {"000000.bin": 0, "000001.bin": 1, "000003.bin": 3}
    assert sweep_places(["d2_8.pcd", "d2_9.pcd", "d2_12.pcd"]) == {"d2_8.pcd": 8, "d2_9.pcd": 9, "d2_12.pcd": 12}


@pytest.mark.parametrize(
    "names",
    [
        ["1532402927647951.pcd", "1532402927647952.pcd"],
        ["100000.bin", "200000.bin", "250000.bin"],
        ["01_0001.bin", "01_0002.bin", "02_0001.bin"],
        ["1.bin", "01.bin", "2.bin"],
        ["alone_7.bin"],
    ],
)
def test_other_names_are_counted_in_their_order(names: list[str]) -> None:
    assert list(sweep_places(names).values()) == list(range(len(names)))


@given(_NAMES.map(lambda names: list(dict.fromkeys(names))))
def test_places_rise_in_the_order_of_the_sweeps(names: list[str]) -> None:
    places = sweep_places(names)
    assert list(places) == sweep_order(names)
    assert list(places.values()) == sorted(set(places.values()))
