import pytest
import torch
from torch import Tensor

from ingest.targets.forward import Forward, TeacherMemoryError

CPU = torch.device("cpu")


class Hungry:
    """A teacher with memory for a few views only; notes how many it was shown at a time."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.shown: list[int] = []

    def __call__(self, views: Tensor) -> Tensor:
        if len(views) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.shown.append(len(views))
        return views * 2


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_nothing_is_lost() -> None:
    teacher = Hungry(room=5)
    forward = Forward(teacher, device=CPU, precision="fp32", batch=16)
    views = torch.arange(20.0).reshape(20, 1)
    assert torch.equal(forward(views), views * 2)
    assert forward.batch == 4
    assert teacher.shown == [4] * 5


def test_the_smaller_batch_is_kept() -> None:
    teacher = Hungry(room=5)
    forward = Forward(teacher, device=CPU, precision="fp32", batch=8)
    forward(torch.zeros(8, 1))
    teacher.shown.clear()
    forward(torch.zeros(8, 1))
    assert teacher.shown == [4, 4]


def test_no_memory_for_a_single_view_is_said() -> None:
    with pytest.raises(TeacherMemoryError, match="no memory for the teacher and a single view"):
        Forward(Hungry(room=0), device=CPU, precision="fp32", batch=8)(torch.zeros(3, 1))


def test_bf16_rounds_matrix_products_and_gives_float32() -> None:
    weights = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    views = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    exact, rounded = (
        Forward(lambda rows: rows @ weights, device=CPU, precision=precision, batch=8)(views)
        for precision in ("fp32", "bf16")
    )
    assert rounded.dtype == torch.float32
    assert 1e-4 < (exact - rounded).abs().max() < 1


def test_ids_stay_whole_numbers() -> None:
    said = Forward(lambda rows: rows.long(), device=CPU, precision="fp32", batch=2)(torch.tensor([[3.0], [70000.0]]))
    assert said.tolist() == [[3], [70000]]
    assert said.dtype == torch.int64
