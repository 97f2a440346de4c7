"""Loading: who makes the batches that a stream hands out, and how far ahead. What is in them is the same for all."""

import multiprocessing
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from pipelines.batch import Batch
from pipelines.visits import Visits
from shards.errors import MaskloomError, SettingsError, did_you_mean


class WorkerDiedError(MaskloomError, RuntimeError):
    """A worker process was killed from outside."""


Order = tuple[int, Visits]
"""A batch that is wanted: its step, and the samples of this rank."""


@runtime_checkable
class Reads(Protocol):
    """Makes batches; can be pickled."""

    def read(self, visits: Visits, *, step: int) -> Batch:
        """Return the batch of some samples."""
        ...


@runtime_checkable
class Loading(Protocol):
    """A way to make batches ahead of time."""

    def start(self, reader: Reads, orders: Iterable[Order], *, pin_memory: bool) -> Generator[Batch]:
        """Yield the batches that are ordered, in order; whatever it takes lives as long as the generator."""
        ...


@dataclass(frozen=True)
class Here:
    """Batches are made when they are asked for, on one thread: several for one picture get in each other's way."""

    def start(self, reader: Reads, orders: Iterable[Order], *, pin_memory: bool) -> Generator[Batch]:
        """Yield the batches that are ordered; see Loading."""
        for step, visits in orders:
            with _one_torch_thread():
                batch = reader.read(visits, step=step)
            yield batch.pin_memory() if pin_memory else batch


@dataclass(frozen=True, kw_only=True)
class Threads:
    """`count` threads make a batch each: nothing is copied between processes, and decoders run without Python's lock.

    Each has files and caches of its own.

    Raises:
        SettingsError: There is no thread.
    """

    count: int

    def __post_init__(self) -> None:
        _require_some("threads", self.count)

    def start(self, reader: Reads, orders: Iterable[Order], *, pin_memory: bool) -> Generator[Batch]:
        """Yield the batches that are ordered; see Loading."""
        read = _PerThread(reader, pin_memory=pin_memory)
        with ThreadPoolExecutor(self.count, thread_name_prefix="stream") as pool:
            waiting = iter(orders)
            begun = deque(pool.submit(read, order) for order in islice(waiting, 2 * self.count))
            try:
                yield from _in_order(begun, (lambda order: pool.submit(read, order)), waiting)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class Workers:
    """`count` processes of one thread each make a batch each, and hand it over in shared memory.

    `start_method` is `fork`, `spawn` or `forkserver`; None is the default of the platform.

    Raises:
        SettingsError: There is no worker, or no such way to start one.
    """

    count: int
    start_method: str | None = None

    def __post_init__(self) -> None:
        _require_some("worker processes", self.count)
        methods = multiprocessing.get_all_start_methods()
        if self.start_method is not None and self.start_method not in methods:
            raise SettingsError(
                f"Workers were to be started by '{self.start_method}'; this platform has {', '.join(methods)}."
                f"{did_you_mean(self.start_method, methods)}"
            )

    def start(self, reader: Reads, orders: Iterable[Order], *, pin_memory: bool) -> Generator[Batch]:
        """Yield the batches that are ordered; see Loading."""
        loader = DataLoader(
            _Batches(reader),
            sampler=_Orders(orders),
            batch_size=None,
            num_workers=self.count,
            collate_fn=_unchanged,
            worker_init_fn=_ignore_interrupts,
            multiprocessing_context=self.start_method,
            pin_memory=pin_memory,
            # The seeds that torch hands to workers are not used, and drawing them must not touch the global generator.
            generator=torch.Generator(),
        )
        with worker_deaths():
            for loaded in loader:
                if isinstance(loaded, MaskloomError):
                    raise loaded
                yield loaded


def loading_by(*, workers: int, threads: int = 0) -> Loading:
    """Return the loading with so many worker processes or threads, which exclude each other; with neither, `Here`."""
    assert not (workers and threads), (workers, threads)
    return Workers(count=workers) if workers else Threads(count=threads) if threads else Here()


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turn torch's report that a worker process was killed, which may come at any moment, into a WorkerDiedError.

    A connection that breaks while a batch is handed over says the same, sometimes before torch does.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise WorkerDiedError(
            f"A process that reads data was killed ({str(error).partition('.')[0]}): most likely the machine has run out of "
            "memory. Start the same command again, with fewer --workers."
        ) from error


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _require_some(what: str, count: int) -> None:
    if count < 1:
        raise SettingsError(f"Reading ahead by {count} {what} was asked for; give at least 1, or read without.")


def _in_order(
    begun: deque[Future[Batch]], begin: Callable[[Order], Future[Batch]], waiting: Iterator[Order]
) -> Iterator[Batch]:
    """Yield finished batches in order, and begin another for each that is taken."""
    while begun:
        batch = begun.popleft().result()
        begun.extend(begin(order) for order in islice(waiting, 1))
        yield batch


class _PerThread:
    """Reads with a copy of the reader for every thread: readers keep files and caches that threads must not share."""

    def __init__(self, reader: Reads, *, pin_memory: bool) -> None:
        self._pickled = pickle.dumps(reader)
        self._own = threading.local()
        self._pin_memory = pin_memory

    def __call__(self, order: Order) -> Batch:
        if not hasattr(self._own, "reader"):
            self._own.reader = pickle.loads(self._pickled)
        step, visits = order
        batch: Batch = self._own.reader.read(visits, step=step)
        return batch.pin_memory() if self._pin_memory else batch


class _Batches(TorchDataset[Batch | MaskloomError]):
    """A map from what is ordered to the batch, as workers see it."""

    def __init__(self, reader: Reads) -> None:
        self._reader = reader

    def __getitem__(self, order: Order) -> Batch | MaskloomError:
        """Return the batch, or the error that prevented it.

        An error is returned, not raised: a DataLoader would wrap its message in the traceback of the worker.
        """
        step, visits = order
        try:
            return self._reader.read(visits, step=step)
        except MaskloomError as error:
            return error


class _Orders(Sampler[Order]):
    """Orders as they are given."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self._orders = orders

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(loaded: Any) -> Any:  # noqa: ANN401 - a loader without batching collates single items
    return loaded
