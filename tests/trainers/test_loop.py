"""The loop by itself, with steps and samples made up."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from pipelines.batch import Batch
from pipelines.state import StreamIdentity, StreamState
from pipelines.visits import Position
from tests.batches import make_batch
from trainers.interruption import StopRequest
from trainers.loop import Ending, Ledger, Loop, NonFiniteLossError, Pace
from trainers.metrics import JsonLines, Metrics, read_metrics
from trainers.parallel import World
from trainers.step import StepResult

ALONE = World(rank=0, size=1, device=torch.device("cpu"))


class Counting:
    """A stream whose batches say which they are."""

    def __init__(self) -> None:
        self.taken = 0

    @property
    def state(self) -> StreamState:
        identity = StreamIdentity(
            datasets="=d", order_version=1, seed=0, global_batch=2, shuffle="1x1", weights="", packing=""
        )
        return StreamState(identity=identity, position=Position(step=self.taken, counters=(0,), debts=(0,)))

    def __next__(self) -> Batch:
        self.taken += 1
        keys = (f"a{self.taken}", f"b{self.taken}")
        return make_batch(keys, {}, step=self.taken - 1)


class Scripted:
    """Steps whose losses and gradient norms were written down before."""

    terms = ("patches",)

    def __init__(self, losses: Sequence[float], norms: Sequence[float]) -> None:
        self.losses, self.norms = losses, norms

    def step(self, batch: Batch, *, taken: int) -> StepResult:
        loss = torch.full((2,), self.losses[taken])
        return StepResult(losses=loss, grad_norm=torch.tensor(self.norms[taken]), lr=0.1, num_samples=2, num_tokens=8)


def run(
    path: Path, losses: Sequence[float], norms: Sequence[float], *, log_every: int, save_every: int, saves: list[int]
) -> Ending:
    with StopRequest() as stop, Metrics([JsonLines(path, last_step=0)]) as metrics:
        return Loop(
            Scripted(losses, norms),
            Counting(),
            first=0,
            pace=Pace(total_steps=len(losses), save_every=save_every, log_every=log_every),
            ledger=Ledger(("patches",), steps_per_epoch=10.0, world=ALONE),
            world=ALONE,
            metrics=metrics,
            save=lambda step, state: saves.append(state.position.step),
            stop=stop,
        ).run()


@pytest.mark.parametrize("log_every", [1, 3, 100])
def test_every_step_is_logged_however_rarely_numbers_are_read(tmp_path: Path, log_every: int) -> None:
    losses, saves = [1 / (step + 3) for step in range(11)], []
    ending = run(tmp_path / "m.jsonl", losses, [1.0] * 11, log_every=log_every, save_every=4, saves=saves)
    assert ending == Ending(step=11, signal=None)
    expected = torch.tensor(losses).tolist()
    assert [record["loss"] for record in read_metrics(tmp_path / "m.jsonl")] == expected
    assert saves == [4, 8, 11]


@pytest.mark.parametrize("log_every", [1, 3, 100])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_step_and_samples_and_saves_nothing(
    tmp_path: Path, bad: float, log_every: int
) -> None:
    saves: list[int] = []
    losses = [1.0] * 5 + [bad] + [float("nan")] * 4
    with pytest.raises(NonFiniteLossError, match=r"not finite at step 6\..*a6, b6") as caught:
        run(tmp_path / "m.jsonl", losses, [1.0] * 10, log_every=log_every, save_every=4, saves=saves)
    assert caught.value.step == 6
    assert caught.value.keys == ("a6", "b6")
    assert saves == [4]


def test_a_gradient_that_is_not_finite_is_found_before_it_is_saved(tmp_path: Path) -> None:
    saves: list[int] = []
    with pytest.raises(NonFiniteLossError, match="step 4"):
        run(tmp_path / "m.jsonl", [1.0] * 6, [1, 1, 1, float("inf"), 1, 1], log_every=100, save_every=4, saves=saves)
    assert saves == []


def test_long_batches_are_named_in_part(tmp_path: Path) -> None:
    ledger = Ledger(("patches",), steps_per_epoch=10.0, world=ALONE)
    keys = tuple(f"k{number}" for number in range(100))
    batch = make_batch(keys, {})
    ledger.add(1, batch, Scripted([float("nan")], [1.0]).step(batch, taken=0), waited_s=0.0)
    with pytest.raises(NonFiniteLossError, match=r"100 samples: k0, .*k7, \.\.\.") as caught:
        ledger.read()
    assert caught.value.keys == keys
