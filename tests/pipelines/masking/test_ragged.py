import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.masking.ragged import Ragged, beyond, chosen_of, plan_of, unrolled
from tests.pipelines.masking.samples import Told, told

EMPTY = Ragged(np.array([0, 0, 0]), np.array([], dtype=np.int64))


def ragged(rows: list[list[int]], *, ids: bool = False) -> Ragged:
    flat = np.array([value for row in rows for value in row], dtype=np.int64)
    return Ragged(np.array([len(row) for row in rows], dtype=np.int64), flat, flat + 100 if ids else None)


def test_rows_are_filled_up_with_zeros_that_are_marked() -> None:
    plan = plan_of(ragged([[5, 6], [], [7]], ids=True), EMPTY)
    assert plan.visible.tolist() == [[5, 6], [0, 0], [7, 0]]
    assert plan.visible_padding is not None
    assert plan.visible_padding.tolist() == [[False, False], [True, True], [False, True]]
    assert plan.visible_ids is not None
    assert plan.visible_ids.tolist() == [[105, 106], [0, 0], [107, 0]]
    assert plan.target.shape == (3, 0)
    assert plan.target_padding is None


def test_rows_of_one_length_have_no_padding() -> None:
    plan = plan_of(ragged([[5, 6], [7, 8], [9, 1]]), EMPTY)
    assert torch.equal(plan.visible, torch.tensor([[5, 6], [7, 8], [9, 1]]))
    assert plan.visible_padding is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_a_window_is_a_part_of_every_row(shapes: list[tuple[int, int, int]]) -> None:
    rows = [list(range(10 * row, 10 * row + length)) for row, (length, _, _) in enumerate(shapes)]
    starts = [min(start, length) for length, start, _ in shapes]
    counts = [min(count, length - start) for (length, _, count), start in zip(shapes, starts, strict=True)]
    found = ragged(rows, ids=True).window(starts=np.array(starts), counts=np.array(counts))
    expected = [row[start : start + count] for row, start, count in zip(rows, starts, counts, strict=True)]
    assert found.places.tolist() == [place for row in expected for place in row]
    assert found.ids is not None
    assert (found.ids == found.places + 100).all()


def test_chosen_columns_come_row_by_row_with_their_ids() -> None:
    chosen = np.array([[True, False, True], [False, False, False]])
    plan = plan_of(chosen_of(chosen, np.array([[7, 8, 9], [1, 2, 3]])), chosen_of(~chosen))
    assert told(plan) == [Told((0, 2), (1,), (7, 9)), Told((), (0, 1, 2), ())]


def test_rows_and_columns_are_numbered() -> None:
    rows, columns = unrolled(np.array([2, 0, 3]))
    assert rows.tolist() == [0, 0, 2, 2, 2]
    assert columns.tolist() == [0, 1, 0, 1, 2]
    assert beyond(np.array([2, 0]), 3).tolist() == [[False, False, True], [True, True, True]]
