"""The training loop: one for all recipes.

A step is taken, its losses stay on the device; every `log_every` steps they are read, checked, averaged over the ranks
and written; every `save_every` steps a checkpoint is taken. Nothing else is here: what a step is stands in `step`, what
a checkpoint is in `checkpoint`, where samples come from in `pipelines.stream`.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from pipelines.batch import Batch
from pipelines.state import StreamState
from shards.errors import MaskloomError
from trainers.exchange import averaged
from trainers.interruption import StopRequest
from trainers.metrics import Metrics, Record
from trainers.parallel import World, gather
from trainers.step import StepResult

SHOWN_KEYS = 8
"""Keys named in an error message; all of them go to the file it points at."""


class NonFiniteLossError(MaskloomError):
    """A loss or gradient is NaN or infinite; `keys` are the samples of the batches it may come from."""

    def __init__(self, message: str, *, step: int, keys: Sequence[str]) -> None:
        super().__init__(message)
        self.step = step
        self.keys = tuple(keys)


@runtime_checkable
class BatchSource(Protocol):
    """An endless stream of this rank's batches; its state after a batch is where to resume."""

    @property
    def state(self) -> StreamState:
        """The position after the last batch handed out."""

    def __next__(self) -> Batch:
        """The next batch."""


@runtime_checkable
class Steps(Protocol):
    """What takes a step: `trainers.step.Learner`."""

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the terms of the objective, in the order of `StepResult.losses`."""

    def step(self, batch: Batch, *, taken: int) -> StepResult:
        """Take one step on this rank's part of a global batch; `taken` steps came before."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to train and how often to look up, in optimiser steps; nothing here changes what is learned."""

    total_steps: int
    save_every: int
    log_every: int


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How far training came, and the signal that stopped it early, if any."""

    step: int
    signal: int | None


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """One step whose numbers have not been read yet."""

    step: int
    keys: Sequence[str]
    result: StepResult
    waited_s: float


class Ledger:
    """The steps taken since numbers were last read from the device."""

    def __init__(self, terms: Sequence[str], *, steps_per_epoch: float, world: World) -> None:
        self._terms = tuple(terms)
        self._steps_per_epoch = steps_per_epoch
        self._world = world
        self._taken: list[_Taken] = []
        self._read_at = time.perf_counter()

    def add(self, step: int, batch: Batch, result: StepResult, *, waited_s: float) -> None:
        """Note a step; the device is not asked for anything."""
        self._taken.append(_Taken(step=step, keys=batch.keys, result=result, waited_s=waited_s))

    def read(self) -> list[Record]:
        """Wait for the device, and return one record per step with losses averaged over all ranks.

        Speeds are averages since the last reading. All ranks call this after the same step.

        Raises:
            NonFiniteLossError: a loss or gradient is NaN or infinite on some rank.
        """
        if not self._taken:
            return []
        rows = [torch.cat([taken.result.losses, taken.result.grad_norm.reshape(1)]) for taken in self._taken]
        mine = torch.stack(rows).double()
        means = averaged(mine).cpu()
        if not means.isfinite().all():
            self._refuse(mine.isfinite().all(dim=1).tolist())
        records = self._records(means.tolist())
        self._taken.clear()
        self._read_at = time.perf_counter()
        return records

    def _records(self, rows: list[list[float]]) -> list[Record]:
        seconds = time.perf_counter() - self._read_at
        shared = {
            "samples_per_s": self._world.size * sum(taken.result.num_samples for taken in self._taken) / seconds,
            "tokens_per_s": self._world.size * sum(int(taken.result.num_tokens) for taken in self._taken) / seconds,
            "data_wait": min(1.0, sum(taken.waited_s for taken in self._taken) / seconds),
            "memory_gib": memory_gib(self._world.device),
        }
        return [
            {
                "step": taken.step,
                "epoch": taken.step / self._steps_per_epoch,
                "loss": total,
                **{f"loss/{name}": value for name, value in zip(self._terms, terms, strict=True)},
                "lr": taken.result.lr,
                "grad_norm": grad_norm,
                **shared,
            }
            for taken, (total, *terms, grad_norm) in zip(self._taken, rows, strict=True)
        ]

    def _refuse(self, finite: Sequence[bool]) -> None:
        """Raise on every rank, naming the first bad step and the keys of the ranks where it went wrong."""
        bad = [taken for taken, is_finite in zip(self._taken, finite, strict=True) if not is_finite]
        mine = {"step": bad[0].step, "keys": list(bad[0].keys)} if bad else None
        reports = [report for report in map(json.loads, gather(json.dumps(mine), self._world)) if report]
        step = min(report["step"] for report in reports)
        keys = [key for report in reports if report["step"] == step for key in report["keys"]]
        shown = ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")
        raise NonFiniteLossError(
            f"The loss or its gradient is not finite at step {step}. Its batch held {len(keys)} samples: {shown}. "
            "Look at these samples, or lower --set training.base_lr; the last checkpoint is from before this step.",
            step=step,
            keys=keys,
        )


def memory_gib(device: torch.device) -> float:
    """The most memory held so far, in GiB: tensors on a GPU, the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Loop:
    """Training in progress: takes steps until the run is complete or asked to stop.

    `save(step, state)` is called on every rank with the number of steps taken and the position in the stream.
    """

    def __init__(
        self,
        learner: Steps,
        source: BatchSource,
        *,
        first: int,
        pace: Pace,
        ledger: Ledger,
        world: World,
        metrics: Metrics,
        save: Callable[[int, StreamState], None],
        stop: StopRequest,
    ) -> None:
        self._learner = learner
        self._source = source
        self._step = self._saved = first
        self._pace = pace
        self._ledger = ledger
        self._world = world
        self._metrics = metrics
        self._save = save
        self._stop = stop

    def run(self) -> Ending:
        """Take the remaining steps; whenever this returns, the last step taken has been saved.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite; nothing is saved from that step on.
        """
        stopping = False
        if self._step < self._pace.total_steps:
            for batch, waited_s in self._batches():
                self._take(batch, waited_s)
                stopping = self._look_up() if self._is_due() else False
                if stopping or self._step == self._pace.total_steps:
                    break
        if self._saved != self._step:
            self._metrics.write(self._ledger.read())
            self._save_now()
        return Ending(step=self._saved, signal=self._stop.signal)

    def _take(self, batch: Batch, waited_s: float) -> None:
        result = self._learner.step(batch, taken=self._step)
        self._step += 1
        self._ledger.add(self._step, batch, result, waited_s=waited_s)

    def _is_due(self) -> bool:
        """Whether to read the numbers now. Ranks agree on it; a world of one may look up whenever it is asked to."""
        on_time = self._step % self._pace.log_every == 0 or self._step % self._pace.save_every == 0
        return on_time or (self._world.size == 1 and self._stop.requested)

    def _look_up(self) -> bool:
        """Read and write the numbers, save if it is time to, and tell whether any rank was asked to stop."""
        self._metrics.write(self._ledger.read())
        if self._step % self._pace.save_every == 0:
            self._save_now()
        # Ranks see a signal at different moments, but have to stop after the same step.
        requested = torch.tensor([float(self._stop.requested)], device=self._world.device)
        return bool(averaged(requested).item() > 0)

    def _save_now(self) -> None:
        self._save(self._step, self._source.state)
        self._saved = self._step

    def _batches(self) -> Iterator[tuple[Batch, float]]:
        """Yield batches with the seconds spent waiting for each."""
        while True:
            asked_at = time.perf_counter()
            try:
                batch = next(self._source)
            except RuntimeError:
                # The signal that asks this run to stop may have killed its data workers. Several ranks cannot agree
                # any more on a step to save, so they go back to the last checkpoint.
                if self._stop.requested and self._world.size == 1:
                    return
                raise
            yield batch, time.perf_counter() - asked_at
