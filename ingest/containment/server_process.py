"""A running decoder server as its client sees it: a process, a control socket, and connections to its guards."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.containment.endings import Ending, read_report
from ingest.containment.messages import receive, send
from ingest.containment.order import Order

_LAST_WORDS_BYTES = 4000
_STOP_S = 5.0


class ServerProcess:
    """Starts a decoder server; usable by many threads.

    Args:
        openers: What opens the jobs that can be ordered, as `module:name`.
    """

    def __init__(self, openers: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._busy: set[socket.socket] = set()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        self._control, theirs = socket.socketpair()
        self._closed = False
        self.last_words = ""
        with theirs:
            self._process = subprocess.Popen(
                # -P: a folder called `ingest` where the command happens to run is not ours
                [sys.executable, "-P", "-m", "ingest.containment.server", str(theirs.fileno()), *openers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def status(self, *, patience_s: float = 0.0) -> int | None:
        """Return the exit status, negative for a signal, or None if the server is alive after so many seconds."""
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def ask(self, order: Order) -> Ending | None:
        """Have a guard carry out an order and return how that ended, or None when the guard or the server died."""
        try:
            with self._guard() as connection:
                send(connection, order.to_bytes())
                report = receive(connection)
                if report is None:
                    raise ConnectionResetError
                return read_report(report)
        except OSError:
            return None

    @contextmanager
    def _guard(self) -> Iterator[socket.socket]:
        """Give a connection to a guard that has nothing to do; after an error it is not used again."""
        connection = self._waiting_guard() or self._new_guard()
        with self._lock:
            self._busy.add(connection)
        try:
            yield connection
        except BaseException:
            with self._lock:
                self._busy.discard(connection)
            connection.close()
            raise
        with self._lock:
            self._busy.discard(connection)
            self._idle.append(connection)
        if self._closed:
            self.close()

    def _waiting_guard(self) -> socket.socket | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            connection.close()  # the guard has nothing to say unasked: it is gone

    def _new_guard(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def stop(self) -> None:
        """End the server and all that it runs: by hanging up, and by force if that does not help at once."""
        with self._lock:
            self._control.close()
            for connection in (*self._idle, *self._busy):
                connection.shutdown(socket.SHUT_RDWR)
        if self.status(patience_s=_STOP_S) is None:
            self._process.kill()
            self._process.wait(_STOP_S)
        self.close()

    def close(self) -> None:
        """Keep the last words of a server that is dead, and close what led to it."""
        with self._lock:
            if not self._closed:
                self._complaints.seek(0)
                self.last_words = self._complaints.read()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
                self._complaints.close()
                self._control.close()
            self._closed = True
            while self._idle:
                self._idle.pop().close()


def _has_news(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _environment() -> dict[str, str]:
    """Return the environment of a server: it imports what this process would, and computes in one thread.

    With one thread per decoder the order of sums does not depend on the number of cores, and neither does the memory
    that threads reserve, which counts against `Limits.item_memory`.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
