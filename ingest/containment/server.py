"""The decoder server: a process that has imported the decoders and forks a guard for every thread that has work.

It is started by `ingest.containment.client` and runs as long as that one keeps its end of the socket open.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from ingest.containment.bounds import expect_time_signals, forbid_core_dumps
from ingest.containment.children import ClientGoneError, die_with
from ingest.containment.endings import Broken, pass_on
from ingest.containment.guard import do_guarded
from ingest.containment.job import OpenJob
from ingest.containment.messages import receive, send
from ingest.containment.order import Order

IDLE_S = 300.0
"""How long a server without work keeps its memory; the client starts another one when it needs it."""


def serve(control: socket.socket, openers: Mapping[str, OpenJob]) -> None:
    """Fork a guard for every connection that comes through `control`, until the other end closes or nothing is to do.

    Guards are waited for, so that what they cost counts as time of the command.
    """
    control.settimeout(IDLE_S)
    while True:
        try:
            _, connections, _, _ = socket.recv_fds(control, 1, 1)
        except TimeoutError:
            if _is_guarding():
                continue
            return
        if not connections:
            _wait_for_guards()
            return
        _is_guarding()
        with socket.socket(fileno=connections[0]) as client:
            _fork_guard(control, client, openers)


def _is_guarding() -> bool:
    """Take leave of the guards that have ended, and tell whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _wait_for_guards() -> None:
    """Wait until all guards have ended; without a client, each does so at once."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _fork_guard(control: socket.socket, client: socket.socket, openers: Mapping[str, OpenJob]) -> None:
    parent = os.getpid()
    if os.fork() != 0:
        return
    try:
        die_with(parent)
        control.close()
        _guard(client, openers)
    except (ClientGoneError, OSError):
        pass  # nobody waits for an answer, or nobody has asked for long
    finally:
        os._exit(0)


def _guard(client: socket.socket, openers: Mapping[str, OpenJob]) -> None:
    """Do one order of the client after the other."""
    client.settimeout(IDLE_S)
    while (order := receive(client)) is not None:
        send(client, _answer(Order.from_bytes(order), openers, client))


def _answer(order: Order, openers: Mapping[str, OpenJob], client: socket.socket) -> bytes:
    try:
        return pass_on(do_guarded(order, openers[order.opener], client))
    except ClientGoneError:
        raise
    except Exception:
        return pass_on(Broken(traceback.format_exc()))


def _prepare() -> None:
    """Make this process what its children shall inherit: deaf to Ctrl-C, which the command answers, and quiet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    expect_time_signals()
    forbid_core_dumps()


def _imported(name: str) -> OpenJob:
    module, _, attribute = name.partition(":")
    return cast("OpenJob", getattr(importlib.import_module(module), attribute))


def _silence() -> None:
    """Throw away what decoders print: libav and libjpeg write to the terminal behind Python's back."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


def main() -> None:
    """Serve jobs: `python -m ingest.containment.server DESCRIPTOR MODULE:NAME ...`."""
    descriptor, *names = sys.argv[1:]
    _prepare()
    openers = {name: _imported(name) for name in names}
    _silence()
    gc.freeze()  # what was imported is shared with the children; collecting it would copy its pages
    with socket.socket(fileno=int(descriptor)) as control:
        serve(control, openers)
    os._exit(0)  # at once: unloading the decoders takes time, in which a client might believe in this process


if __name__ == "__main__":
    main()
