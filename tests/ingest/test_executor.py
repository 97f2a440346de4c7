import os
import threading
import time
from collections.abc import Iterator

import pytest
from distributed import Client

from ingest.executor import DaskExecutor, WorkerLostError, worker_processes, worker_threads
from shards.errors import SettingsError, StorageError


def square(number: int) -> int:
    return number * number


def process_and_thread(_: int) -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def fail(_: int) -> None:
    raise StorageError("the disk is full")


def test_results_of_all_tasks_come_once_in_any_order() -> None:
    with DaskExecutor(workers=2, scheduler=None, embedded=worker_threads) as executor:
        assert sorted(executor.run(square, ((number,) for number in range(50)))) == [number**2 for number in range(50)]


def test_no_more_tasks_are_known_to_the_scheduler_than_fit_its_window() -> None:
    taken: list[int] = []

    def arguments() -> Iterator[tuple[int]]:
        for number in range(40):
            taken.append(number)
            yield (number,)

    with DaskExecutor(workers=2, scheduler=None, embedded=worker_threads) as executor:
        for done, _ in enumerate(executor.run(square, arguments()), 1):
            assert len(taken) <= done + 4


def test_threads_share_this_process_and_processes_do_not() -> None:
    with DaskExecutor(workers=2, scheduler=None, embedded=worker_threads) as executor:
        assert {pid for pid, _ in executor.run(process_and_thread, ((n,) for n in range(8)))} == {os.getpid()}
    with DaskExecutor(workers=1, scheduler=None, embedded=worker_processes) as executor:
        assert os.getpid() not in {pid for pid, _ in executor.run(process_and_thread, [(0,)])}


def test_an_error_of_a_task_arrives_as_it_was_raised() -> None:
    with (
        DaskExecutor(workers=1, scheduler=None, embedded=worker_threads) as executor,
        pytest.raises(StorageError, match="the disk is full"),
    ):
        list(executor.run(fail, [(0,)]))


def test_an_address_without_a_scheduler_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.executor._CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(SettingsError, match=r"No Dask scheduler with a worker answers at tcp://127.0.0.1:9 "):
        DaskExecutor(workers=1, scheduler="tcp://127.0.0.1:9")


def test_workers_that_are_gone_for_long_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.executor._LOOK_FOR_WORKERS_S", 0.1)
    monkeypatch.setattr("ingest.executor._WORKERLESS_S", 0.3)
    with DaskExecutor(workers=1, scheduler=None, embedded=worker_threads) as executor:
        threads = iter([{"a": 1}, {"a": 1}])
        monkeypatch.setattr(Client, "nthreads", lambda _: next(threads, {}))
        with pytest.raises(WorkerLostError, match=r"No worker is left.*start workers and run the same command again"):
            list(executor.run(time.sleep, [(1,)]))


def test_slurm_without_its_commands_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.executor.shutil.which", lambda _: None)
    with pytest.raises(SettingsError, match="there is no `sbatch` here"):
        DaskExecutor(workers=1, scheduler="slurm")


def test_slurm_jobs_that_nobody_described_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.executor.shutil.which", lambda _: "/usr/bin/sbatch")
    with pytest.raises(SettingsError, match=r"cores and memory missing.*jobqueue\.yaml; docs/clusters\.md shows how"):
        DaskExecutor(workers=1, scheduler="slurm")
