"""Forked children that do one piece of work, report how it ended, and never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ingest.containment.endings import Ending, ending_of, report_of

_CHUNK = 1 << 20
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ClientGoneError(Exception):
    """Nobody waits for the work any more."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: its process id, and the end of the pipe that its report comes from."""

    pid: int
    report: int


def fork_child(work: Callable[[], object]) -> Child:
    """Begin some work in a forked child, which dies with the process that called this."""
    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work_and_exit(work, writing, parent)
    os.close(writing)
    return Child(pid, reading)


def _work_and_exit(work: Callable[[], object], writing: int, parent: int) -> NoReturn:
    status = 1
    try:
        die_with(parent)
        _write_all(writing, report_of(work))
        status = 0
    finally:
        # Neither buffers nor exit handlers of the parent are this child's to flush or run.
        os._exit(status)


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as `parent`, which forked it, is gone (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def ending_of_child(child: Child) -> Ending:
    """Wait until a child has ended and return how."""
    with os.fdopen(child.report, "rb") as pipe:
        report = pipe.read()
    return ending_of(report, os.waitpid(child.pid, 0)[1])


def ending_unless_gone(child: Child, client: socket.socket) -> Ending:
    """Wait until a child has ended and return how, but kill it when the client hangs up.

    Raises:
        ClientGoneError: The client has closed its end; the child is dead.
    """
    waiting = select.poll()
    waiting.register(child.report, select.POLLIN)
    waiting.register(client, 0)  # a hang-up is reported without being asked for
    chunks: list[bytes] = []
    try:
        while True:
            if client.fileno() in dict(waiting.poll()):
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                raise ClientGoneError
            chunk = os.read(child.report, _CHUNK)
            if not chunk:
                return ending_of(b"".join(chunks), os.waitpid(child.pid, 0)[1])
            chunks.append(chunk)
    finally:
        os.close(child.report)
