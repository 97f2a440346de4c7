import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rows import allocate


@given(st.lists(st.integers(2, 5), min_size=0, max_size=4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_rows_have_the_shape_dtype_and_memory_order_of_the_first(sizes: list[int], rows: int, random: object) -> None:
    order = list(range(1, len(sizes) + 1))
    random.shuffle(order)  # type: ignore[attr-defined]
    like = torch.empty([1, *sizes], dtype=torch.int16).permute(0, *order)
    found = allocate(like, rows)
    assert (found.shape, found.dtype) == ((rows, *like.shape[1:]), torch.int16)
    assert found.stride()[1:] == like.stride()[1:]
    assert found.numel() * found.element_size() == found.untyped_storage().nbytes()
