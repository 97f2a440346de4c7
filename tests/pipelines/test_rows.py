import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rows import KEPT, OWN_PAGES, allocate


@given(st.lists(st.integers(2, 5), min_size=0, max_size=4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_rows_have_the_shape_dtype_and_memory_order_of_the_first(sizes: list[int], rows: int, random: object) -> None:
    order = list(range(1, len(sizes) + 1))
    random.shuffle(order)  # type: ignore[attr-defined]
    like = torch.empty([1, *sizes], dtype=torch.int16).permute(0, *order)
    found = allocate(like, rows)
    assert (found.shape, found.dtype) == ((rows, *like.shape[1:]), torch.int16)
    assert found.stride()[1:] == like.stride()[1:]
    assert found.numel() * found.element_size() == found.untyped_storage().nbytes()


LARGE = torch.empty(1, OWN_PAGES, dtype=torch.uint8)


def test_rows_that_nobody_holds_are_used_again_and_others_are_not() -> None:
    first, second = allocate(LARGE, 2), allocate(LARGE, 2)
    first.fill_(1)
    second.fill_(2)
    part, place = first[1], first.data_ptr()
    del first
    third = allocate(LARGE, 2).fill_(3)
    assert third.data_ptr() != place  # a part of it is still held
    assert (part == 1).all()
    assert (second == 2).all()
    del part
    assert allocate(LARGE, 2).data_ptr() == place


def test_memory_is_bounded_by_the_rows_that_are_held() -> None:
    places = {allocate(LARGE, 3).data_ptr() for _ in range(50)}
    assert len(places) <= KEPT
