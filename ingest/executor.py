"""Dask as a plain executor: one task is one shard, a bounded window is in flight, results are dropped at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

from distributed import Client, LocalCluster, as_completed
from distributed.scheduler import KilledWorker

from shards.errors import MaskloomError, SettingsError

_THREADS_PER_WORKER = 2  # decoding, resizing and encoding release the GIL; a second process would import torch again
_WINDOW_PER_THREAD = 2
_CONNECT_TIMEOUT_S = 15


class WorkerLostError(MaskloomError):
    """A shard killed its worker again and again."""


class DaskExecutor:
    """Runs shard tasks on an embedded cluster, or on a running scheduler.

    Args:
        workers: Tasks at the same time on the embedded cluster.
        scheduler: Address of a running scheduler (`tcp://host:8786`); its workers must see the same folders.

    Raises:
        SettingsError: The scheduler does not answer.
    """

    def __init__(self, *, workers: int, scheduler: str | None) -> None:
        self._cluster: LocalCluster | None = None
        if scheduler is None:
            self._cluster = _local_cluster(workers)
            self._client = Client(self._cluster)
        else:
            self._client = _connect(scheduler)

    def run(self, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Run `task` on every tuple of arguments and yield the results as they come, in any order.

        Only a few tasks per thread are known to the scheduler at any time, and a finished one is released at once, so
        that a dying worker never makes Dask run finished work again. Workers that join later are used.

        Raises:
            WorkerLostError: A task killed its worker more often than is allowed, or ran out of memory.
        """
        waiting = iter(arguments)
        running = as_completed(raise_errors=False)
        with _remembered_interrupts() as interrupts:
            in_flight = self._submit(running, task, waiting, room=self._window())
            for future in running:
                if interrupts:
                    raise KeyboardInterrupt
                result = _result(future)
                future.release()
                in_flight -= 1
                in_flight += self._submit(running, task, waiting, room=self._window() - in_flight)
                yield result

    def _window(self) -> int:
        threads = sum(int(threads) for threads in self._client.nthreads().values())
        return max(1, threads * _WINDOW_PER_THREAD)

    def _submit(
        self, running: as_completed, task: Callable[..., Any], waiting: Iterator[tuple[Any, ...]], *, room: int
    ) -> int:
        """Hand the next tasks to the scheduler while there is room, and return how many."""
        taken = list(islice(waiting, max(0, room)))
        for arguments in taken:
            running.add(self._client.submit(task, *arguments, pure=False))
        return len(taken)

    def close(self) -> None:
        """Stop the embedded cluster, or leave the running scheduler alone; tasks in flight are cancelled."""
        self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=5)

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _result(future: Any) -> Any:  # noqa: ANN401 - a Dask future holds anything
    try:
        return future.result()
    except MemoryError as error:
        raise WorkerLostError(
            f"{future.key} ran out of memory. Finished shards are kept; run the same command with fewer --workers."
        ) from error
    except KilledWorker as error:
        raise WorkerLostError(
            f"A worker died every time it ran {future.key}: out of memory, or a decoder crashed. "
            "Finished shards are kept; run the same command with fewer --workers."
        ) from error


def _local_cluster(workers: int) -> LocalCluster:
    processes = max(1, -(-workers // _THREADS_PER_WORKER))
    with _deaf_to_interrupts():
        return LocalCluster(
            n_workers=processes,
            threads_per_worker=-(-workers // processes),
            processes=True,
            dashboard_address="127.0.0.1:0",  # a free port: two runs on one machine must not fight over Dask's default
            worker_dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=logging.ERROR,
            memory_limit=None,
        )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Make the processes started meanwhile ignore Ctrl-C: the command stops them, and only it has something to say."""
    with _interrupts_to(signal.SIG_IGN):
        yield


@contextmanager
def _remembered_interrupts() -> Iterator[list[int]]:
    """Note every Ctrl-C besides raising it: raised inside a finaliser or a callback, Python reports and forgets it."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    with _interrupts_to(note):
        yield seen


@contextmanager
def _interrupts_to(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle Ctrl-C by `handler` for a while; only the main thread of a program can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _connect(scheduler: str) -> Client:
    try:
        client = Client(scheduler, timeout=_CONNECT_TIMEOUT_S)
        client.wait_for_workers(1, timeout=_CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"No Dask scheduler with a worker answers at {scheduler} ({error}). Start them with `dask scheduler` and "
            "`dask worker`, or leave --scheduler out."
        ) from error
    return client
