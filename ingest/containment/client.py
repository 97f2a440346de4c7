"""The side of the Dask worker: asks the decoder server for shards. Imports no decoder, and runs in any thread."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ingest.containment.endings import Broken, Done, Ending, Failed, read_report
from ingest.containment.errors import ATTEMPTS, DecoderLostError, UnforeseenError
from ingest.containment.order import Order
from shards.receipt import Receipt

_MESSAGE_BYTES = 4000
_STOP_S = 5.0
_DYING_S = 0.5
"""How long after its sockets a killed process may still count as running."""


@dataclass(slots=True)
class _Running:
    """A server process, our end of its control socket, and what it says before it is ready."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    complaints: IO[bytes]
    last_words: str = ""
    stopped: bool = False

    def bury(self) -> None:
        """Keep the last words of a server that is dead, and close what led to it."""
        if not self.complaints.closed:
            self.complaints.seek(0)
            self.last_words = self.complaints.read()[-_MESSAGE_BYTES:].decode(errors="replace").strip()
            self.complaints.close()
            self.control.close()


class DecoderServer:
    """The decoder server of this process: started when first needed, started again when it is gone.

    Args:
        openers: What opens the jobs that can be ordered, as `module:name`.
    """

    def __init__(self, *openers: str) -> None:
        self._openers = openers
        self._lock = threading.Lock()
        self._running: _Running | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._running.process.pid if self._running else None

    def do(self, order: Order) -> Any:  # noqa: ANN401 - each job says what it returns
        """Have a task done and return what it returned.

        Raises:
            DecoderLostError: The server cannot start, was stopped, or its processes die again and again.
            UnforeseenError: A fault of the program; the text is its traceback.
            MaskloomError: What the job itself raised.
        """
        for _ in range(ATTEMPTS):
            running = self._ready()
            answer = self._ask(running, order)
            if answer is not None:
                return _result(answer)
            self._require_use(running, order)
        raise DecoderLostError(
            f"The processes of {order} were killed {ATTEMPTS} times. Nothing was rejected "
            "for it and finished shards are kept: run the same command, with fewer --workers if memory is short."
        )

    def _ready(self) -> _Running:
        with self._lock:
            if self._running is not None and self._running.process.poll() is not None:
                self._running.bury()
                self._running = None
            if self._running is None:
                self._running = _start(self._openers)
            return self._running

    def _ask(self, running: _Running, order: Order) -> Ending | None:
        """Return what became of an order, or None when its guard or the server died."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                try:
                    socket.send_fds(running.control, [b"+"], [theirs.fileno()])
                except OSError:
                    return None
            try:
                ours.sendall(order.to_bytes())
                ours.shutdown(socket.SHUT_WR)
                with ours.makefile("rb") as incoming:
                    report = incoming.read()
            except OSError:
                return None
        return read_report(report) if report else None

    def _require_use(self, running: _Running, order: Order) -> None:
        """Raise if it is of no use to ask again, because the server was stopped or cannot start."""
        if running.stopped:
            raise DecoderLostError(f"The {order} was given up: its decoders were stopped.")
        try:
            status = running.process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            return  # only a guard was lost
        if status > 0:
            with self._lock:
                running.bury()
            raise DecoderLostError(
                f"The process for decoders ended with status {status} on this machine. It said:\n{running.last_words}"
            )

    def stop(self) -> None:
        """End the server and all that it runs; orders under way raise a DecoderLostError."""
        with self._lock:
            running, self._running = self._running, None
            if running is None:
                return
            running.stopped = True
            running.process.kill()
            running.process.wait(_STOP_S)
            running.bury()


def _start(openers: tuple[str, ...]) -> _Running:
    ours, theirs = socket.socketpair()
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
    with theirs:
        process = subprocess.Popen(
            # -P: a folder called `ingest` where the command happens to run is not ours
            [sys.executable, "-P", "-m", "ingest.containment.server", str(theirs.fileno()), *openers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            pass_fds=[theirs.fileno()],
            env=_environment(),
        )
    return _Running(process=process, control=ours, complaints=complaints)


def _environment() -> dict[str, str]:
    """Return the environment of a server: it imports what this process would, and computes in one thread.

    With one thread per decoder the order of sums does not depend on the number of cores, and neither does the memory
    that threads reserve, which counts against `Limits.item_memory`.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _result(ending: Ending) -> Any:  # noqa: ANN401 - each job says what it returns
    match ending:
        case Done(made):
            return made
        case Failed(error):
            raise error
        case Broken(trace):
            raise UnforeseenError(trace)
        case _:
            raise UnforeseenError(f"a guard reported {ending}")


_SHARDS = "ingest.shard_task:ShardJob"
_SURVEY = "ingest.survey_task:SurveyJob"
_SERVER = DecoderServer(_SHARDS, _SURVEY)
atexit.register(_SERVER.stop)


def write_contained(dataset: Path, shard: int, source_root: Path) -> Receipt:
    """Write shard number `shard` of the plan in `dataset` from the files below `source_root`, and return its receipt.

    The decoders run in processes of their own. A file that crashes one, never ends, or takes too much memory is rejected by
    reason; everything else is stored, byte for byte as if that file had been refused like any other.

    Raises:
        DecoderLostError: The machine kills the decoders, or does not let them start. Nothing was rejected for that.
        StorageError: The output cannot be written.
        SourceError: The machine cannot read the source at all.
    """
    receipt: Receipt = _SERVER.do(Order(opener=_SHARDS, dataset=dataset, number=shard, source_root=source_root))
    return receipt


def survey_contained(dataset: Path, chunk: int, source_root: Path) -> int:
    """Do task number `chunk` of the survey in `dataset`, and return how many items it holds; errors as above."""
    items: int = _SERVER.do(Order(opener=_SURVEY, dataset=dataset, number=chunk, source_root=source_root))
    return items


def stop_decoders() -> None:
    """End the decoders of this process; the next shard starts them anew."""
    _SERVER.stop()
