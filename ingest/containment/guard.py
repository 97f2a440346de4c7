"""Watches over one task: lets it be done at once, and in suspect mode if that ends badly."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ingest.containment.bounds import TimeBound
from ingest.containment.children import ending_unless_gone, fork_child
from ingest.containment.endings import Crashed, Ending, Failed, Killed, OutOfMemory, OutOfTime
from ingest.containment.errors import DecoderLostError, killed_from_outside
from ingest.containment.job import Job, OpenJob
from ingest.containment.modes import SHARED_SECONDS, unless_killed, write_at_once, write_suspiciously
from ingest.containment.order import Order


def do_guarded(order: Order, open_job: OpenJob, client: socket.socket) -> Ending:
    """Do a task, whatever its files do to their decoders, and return how that ended: done, failed or broken.

    Raises:
        ClientGoneError: The client hung up.
    """

    def attempt(write: Callable[[Job[object, object]], object]) -> Ending:
        return unless_killed(lambda: ending_unless_gone(fork_child(lambda: _done(order, open_job, write)), client))

    ending = attempt(write_at_once)
    if isinstance(ending, OutOfMemory | OutOfTime | Crashed):
        ending = attempt(write_suspiciously)
    return _blamed_on_machine(ending, order)


def _done(order: Order, open_job: OpenJob, write: Callable[[Job[object, object]], object]) -> object:
    with TimeBound(SHARED_SECONDS):
        job = open_job(order.dataset, order.number, order.source_root)
    return write(job)


def _blamed_on_machine(ending: Ending, order: Order) -> Ending:
    """Turn an ending that no item can be blamed for into an error that says what to do."""
    what = f"The process of {order}"
    match ending:
        case Killed(name):
            return Failed(killed_from_outside(what, name))
        case OutOfMemory():
            advice = "Finished shards are kept; run the same command with fewer --workers."
            return Failed(DecoderLostError(f"{what} ran out of memory while it read or wrote. {advice}"))
        case Crashed() | OutOfTime():
            how = ending.how if isinstance(ending, Crashed) else f"more than {SHARED_SECONDS:g} s of computing"
            advice = "Look for a damaged table or tar among its sources; finished shards are kept."
            return Failed(DecoderLostError(f"{what} ended outside of any item ({how}). {advice}"))
        case _:
            return ending
