"""The two ways to do a task: at once, as fast as its decoders are, and in suspect mode, when that went wrong."""

from __future__ import annotations

from collections.abc import Callable

from ingest.containment.bounds import ItemBounds, TimeBound
from ingest.containment.children import ending_of_child, fork_child
from ingest.containment.endings import (
    Broken,
    Crashed,
    Done,
    Ending,
    Failed,
    Killed,
    OutOfMemory,
    OutOfTime,
    Refused,
)
from ingest.containment.errors import ATTEMPTS, UnforeseenError, killed_from_outside
from ingest.containment.job import Job
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

SHARED_SECONDS = 1800.0
"""Processor time for what no single item is to blame for: opening a task, loading what several items share (cells of
Parquet files, files behind addresses); no sound source comes near."""


def write_at_once(job: Job[object, object]) -> object:
    """Encode and write all items in this process, each within its bounds; what they share is loaded outside of them."""
    bounds = ItemBounds(job.limits)
    return job.write(_outcome(job, place, bounds) for place in range(len(job)))


def _outcome(job: Job[object, object], place: int, bounds: ItemBounds) -> object:
    _prepare(job, place)
    try:
        with bounds:
            return job.encode(place)
    except Rejection as rejection:
        return rejection


def _prepare(job: Job[object, object], place: int) -> None:
    with TimeBound(SHARED_SECONDS):
        job.prepare(place)


def write_suspiciously(job: Job[object, object]) -> object:
    """Encode every item in a child process of its own, and write here: an item that its process dies of is a reject.

    What items share is loaded here, so that every child inherits it.
    """
    return job.write(_suspect_outcome(job, place) for place in range(len(job)))


def _encode_alone(job: Job[object, object], place: int) -> object:
    with ItemBounds(job.limits):
        return job.encode(place)


def _suspect_outcome(job: Job[object, object], place: int) -> object:
    _prepare(job, place)
    ending = unless_killed(lambda: ending_of_child(fork_child(lambda: _encode_alone(job, place))))
    match ending:
        case Done(made):
            return made
        case Refused(rejection):
            return rejection
        case Failed(error):
            raise error
        case Broken(trace):
            raise UnforeseenError(trace)
        case Killed(name):
            raise killed_from_outside("The process that encoded one item", name)
        case _:
            return _verdict(ending, job.limits)


def _verdict(ending: OutOfMemory | OutOfTime | Crashed, limits: Limits) -> Rejection:
    """Return why an item is refused that ended its process; the words depend on nothing that varies between machines."""
    match ending:
        case OutOfTime():
            return Rejection(RejectReason.TIME_LIMIT, f"encoding it takes longer than {limits.item_seconds:g} s")
        case OutOfMemory():
            mebibytes = limits.item_memory / (1 << 20)
            return Rejection(
                RejectReason.TOO_MUCH_MEMORY, f"encoding it takes more than {mebibytes:,.0f} MiB of memory"
            )
        case Crashed(how):
            return Rejection(RejectReason.DECODER_CRASH, f"the decoder crashed: {how}")


def unless_killed(attempt: Callable[[], Ending]) -> Ending:
    """Return how work ended, beginning it again a few times when it is killed from outside."""
    for _ in range(ATTEMPTS - 1):
        ending = attempt()
        if not isinstance(ending, Killed):
            return ending
    return attempt()
