"""Dask as a plain executor: one task is one shard, a bounded window is in flight, results are dropped at once."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

import dask
from distributed import Client, LocalCluster, as_completed
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from ingest.containment.client import stop_decoders
from shards.errors import MaskloomError, SettingsError

SLURM = "slurm"
"""Instead of an address: workers are jobs of the Slurm cluster that this machine submits to."""
GPU = {"GPU": 1}
"""What a task asks for that needs a GPU of its own."""
_WINDOW_PER_THREAD = 2
_TALKATIVE = ("distributed", "distributed.client", "distributed.batched", "distributed.comm", "distributed.worker")
"""Loggers that tell of lost connections and failed tasks in tracebacks; the command says it in a sentence of its own."""
_FREE_PORT = "127.0.0.1:0"
"""Where a cluster serves its pages: two runs on one machine must not fight over Dask's default port, which all could reach."""
_CONNECT_TIMEOUT_S = 15
_CLOSE_TIMEOUT_S = 5
_POLL_S = 0.05
_LOOK_FOR_WORKERS_S = 5.0
_WORKERLESS_S = 300.0
"""How long all workers may be gone, for new ones to take their place."""

Embed = Callable[[int], AbstractContextManager[Any]]
"""Makes a cluster for so many tasks at a time, and takes it down again."""


class WorkerLostError(MaskloomError):
    """A task killed its worker again and again, or no worker is left."""


class SchedulerLostError(MaskloomError):
    """The connection to the scheduler broke."""


class DaskExecutor:
    """Runs shard tasks on an embedded cluster, on a running scheduler, or as jobs of a Slurm cluster.

    Args:
        workers: Tasks at the same time, on an embedded cluster and on Slurm.
        scheduler: Address of a running scheduler (`tcp://host:8786`), or `slurm`; None embeds a cluster. Workers elsewhere
            must see the same folders under the same names.
        embedded: What an embedded cluster is made of: `worker_processes` for tasks that compute in Python, `worker_threads`
            for tasks that only wait for processes of their own, `gpu_processes` for tasks that need a GPU each.
        resources: What a task needs of its worker, as {"GPU": 1}; workers elsewhere offer it with `--resources GPU=1`.

    Raises:
        SettingsError: The scheduler does not answer, or Slurm is not set up.
    """

    def __init__(
        self,
        *,
        workers: int,
        scheduler: str | None,
        embedded: Embed | None = None,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        # A lost scheduler is an error of `run`; Dask would report it as well, with tracebacks.
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._closing = ExitStack()
        self._client: Client = self._closing.enter_context(
            _place(workers, scheduler, embedded or worker_processes, resources or {})
        )
        self._resources = resources
        self._workers_seen = float("inf")

    def run(self, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Run `task` on every tuple of arguments and yield the results as they come, in any order.

        Only a few tasks per thread are known to the scheduler at any time, and a finished one is released at once, so
        that a dying worker never makes Dask run finished work again. Workers that join later are used.

        Raises:
            WorkerLostError: A task killed its worker more often than is allowed, ran out of memory, or no worker is left.
            SchedulerLostError: The scheduler went away.
        """
        waiting = iter(arguments)
        running = as_completed(raise_errors=False)
        with _remembered_interrupts() as interrupts, _scheduler_needed():
            in_flight = self._submit(running, task, waiting, room=self._window())
            while in_flight:
                self._wait(running)
                future = next(running)
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
            running.add(self._client.submit(task, *arguments, pure=False, resources=self._resources))
        return len(taken)

    def _wait(self, running: as_completed) -> None:
        """Wait for a result, as long as there is anybody to wait for."""
        looked = time.monotonic()
        while not running.has_ready():
            time.sleep(_POLL_S)
            if time.monotonic() > looked + _LOOK_FOR_WORKERS_S:
                looked = time.monotonic()
                self._require_workers(looked)

    def _require_workers(self, now: float) -> None:
        """Raise if there were workers once and have been none for long. Before the first one, a queue may be at work."""
        if self._client.nthreads():
            self._workers_seen = now
        if now > self._workers_seen + _WORKERLESS_S:
            raise WorkerLostError(
                f"No worker is left, and none has come for {_WORKERLESS_S:g} s. Finished shards are kept: start "
                "workers and run the same command again."
            )

    def close(self) -> None:
        """Stop the embedded cluster, or leave the running scheduler alone; tasks in flight are cancelled."""
        self._closing.close()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)


def _result(future: Any) -> Any:  # noqa: ANN401 - a Dask future holds anything
    try:
        return future.result()
    except MemoryError as error:
        raise WorkerLostError(
            f"{future.key} ran out of memory. Finished shards are kept; run the same command with fewer --workers."
        ) from error
    except KilledWorker as error:
        raise WorkerLostError(
            f"A worker died every time it ran {future.key}, most likely because memory was short. "
            "Finished shards are kept; run the same command with fewer --workers."
        ) from error


@contextmanager
def _scheduler_needed() -> Iterator[None]:
    """Say what to do when the scheduler goes away: Dask cancels what it was asked for, or refuses to be asked."""
    try:
        yield
    except (CancelledError, CommClosedError, ClosedClientError, OSError) as error:
        raise SchedulerLostError(
            "The scheduler went away, or was started anew. What is finished is kept: run the same command again."
        ) from error


def _place(
    workers: int, scheduler: str | None, embedded: Embed, resources: Mapping[str, int]
) -> AbstractContextManager[Client]:
    if scheduler is None:
        return _client_of(embedded(workers))
    if scheduler == SLURM:
        return _client_of(slurm_jobs(workers, resources))
    return _client_at(scheduler, resources)


@contextmanager
def _client_of(starting: AbstractContextManager[Any]) -> Iterator[Client]:
    with starting as cluster:
        client = Client(cluster)
        try:
            yield client
        finally:
            client.close(timeout=_CLOSE_TIMEOUT_S)


@contextmanager
def _client_at(scheduler: str, resources: Mapping[str, int]) -> Iterator[Client]:
    client = None
    try:
        client = Client(scheduler, timeout=_CONNECT_TIMEOUT_S)
        client.wait_for_workers(1, timeout=_CONNECT_TIMEOUT_S)
        _require_offered(client, resources)
    except (OSError, ValueError) as error:
        if client is not None:
            client.close(timeout=_CLOSE_TIMEOUT_S)
        raise SettingsError(
            f"No Dask scheduler with a worker answers at {scheduler} ({error}). Start them with `dask scheduler` and "
            "`dask worker`, or leave --scheduler out."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=_CLOSE_TIMEOUT_S)


def _require_offered(client: Client, resources: Mapping[str, int]) -> None:
    """Raise SettingsError if no worker has what a task needs: Dask would wait for one forever."""
    offered = [worker.get("resources", {}) for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    for name, amount in resources.items():
        if not any(worker.get(name, 0) >= amount for worker in offered):
            raise SettingsError(
                f"None of the {len(offered)} workers offers a {name}. Start one for each {name}: dask worker ADDRESS "
                f'--nworkers 1 --nthreads 1 --resources "{name}={amount}".'
            )


@contextmanager
def worker_threads(workers: int) -> Iterator[LocalCluster]:
    """Run a cluster of threads in this process, for tasks that only wait: nothing is imported twice."""
    # Asking hundreds of times a second where a thread is that waits for a decoder would tell nothing.
    with dask.config.set({"distributed.worker.profile.enabled": False}):
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=_FREE_PORT,
            worker_dashboard_address=_FREE_PORT,
            silence_logs=logging.CRITICAL,  # what a task raises is told by the command, not by the worker as well
            memory_limit=None,
        )
    try:
        yield cluster
    except BaseException:
        stop_decoders()  # or closing would wait for what the threads wait for
        raise
    finally:
        cluster.close(timeout=_CLOSE_TIMEOUT_S)


def worker_processes(workers: int) -> AbstractContextManager[LocalCluster]:
    """Run a cluster of processes on this machine, each for one task at a time that computes."""
    return _processes(workers, resources=None)


def gpu_processes(workers: int) -> AbstractContextManager[LocalCluster]:
    """Run a cluster of processes on this machine, each for one task at a time that needs a GPU."""
    return _processes(workers, resources=GPU)


@contextmanager
def _processes(count: int, *, resources: Mapping[str, int] | None) -> Iterator[LocalCluster]:
    with _deaf_to_interrupts():
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            resources=resources,
            dashboard_address=_FREE_PORT,
            worker_dashboard_address=_FREE_PORT,
            host="127.0.0.1",
            silence_logs=logging.ERROR,
            memory_limit=None,
        )
    try:
        yield cluster
    finally:
        cluster.close(timeout=_CLOSE_TIMEOUT_S)


@contextmanager
def slurm_jobs(workers: int, resources: Mapping[str, int]) -> Iterator[Any]:
    """Run a scheduler here and its workers as Slurm jobs of the kind that Dask's `jobqueue.yaml` describes.

    Raises:
        SettingsError: dask-jobqueue or Slurm is not here, or nobody has said how large a job is.
    """
    try:
        from dask_jobqueue import SLURMCluster  # type: ignore[attr-defined, import-not-found, unused-ignore]
    except ImportError as error:
        raise SettingsError("--scheduler slurm needs dask-jobqueue: pip install 'maskloom[slurm]'.") from error
    if shutil.which("sbatch") is None:
        raise SettingsError("--scheduler slurm: there is no `sbatch` here. Run the command where you submit jobs.")
    job = dask.config.get("jobqueue.slurm")
    missing = [name for name in ("cores", "memory") if not job.get(name)]
    if missing:
        raise SettingsError(
            f"--scheduler slurm: nobody has said how large a job is ({' and '.join(missing)} missing). Say it under "
            "`jobqueue: slurm:` in ~/.config/dask/jobqueue.yaml; docs/clusters.md shows how."
        )
    # One process to a job: its threads share one decoder server, whose memory is counted once.
    offered = [word for name, amount in resources.items() for word in ("--resources", f"{name}={amount}")]
    tasks_per_job = 1 if resources else int(job["cores"])
    cluster: Any = SLURMCluster(processes=job.get("processes") or 1, worker_extra_args=offered)
    try:
        cluster.scale(jobs=-(-workers // tasks_per_job))
        yield cluster
    finally:
        cluster.close(timeout=_CLOSE_TIMEOUT_S)


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
