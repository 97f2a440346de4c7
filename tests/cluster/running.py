"""A Dask scheduler and workers on this machine, started as a user would, to be killed as a user would not."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 30


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningCluster:
    """A scheduler at `address` and its workers; what they say goes to `folder`."""

    folder: Path
    port: int = field(default_factory=free_port)
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start the scheduler at its port."""
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start("distributed.cli.dask_scheduler", *place)

    def start_worker(self) -> None:
        """Start one more worker, of one thread, that nobody watches over."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
        folder = ["--local-directory", str(self.folder)]
        self.workers.append(self._start("distributed.cli.dask_worker", self.address, *options, *folder))

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=REPOSITORY,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def replace_worker(self, number: int) -> None:
        """Kill a worker and start another one."""
        kill(self.workers.pop(number))
        self.start_worker()

    def kill_scheduler(self) -> None:
        """Kill the scheduler; its workers end by themselves."""
        assert self.scheduler is not None
        kill(self.scheduler)

    def restart(self) -> None:
        """Start a new scheduler at the same address, and as many workers as there were."""
        self.kill_scheduler()
        for worker in self.workers:
            kill(worker)
        count = len(self.workers)
        self.workers.clear()
        self.start_scheduler()
        for _ in range(count):
            self.start_worker()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with SIGKILL, unless it is dead."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)


@contextmanager
def running_cluster(folder: Path, *, workers: int) -> Iterator[RunningCluster]:
    """Run a scheduler and workers of one thread each."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = RunningCluster(folder)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        for process in (*cluster.workers, cluster.scheduler):
            if process is not None:
                kill(process)
