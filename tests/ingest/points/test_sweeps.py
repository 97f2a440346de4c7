from hypothesis import given
from hypothesis import strategies as st

from ingest.points.sweeps import sweep_order

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
