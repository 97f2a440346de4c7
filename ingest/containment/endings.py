"""How a process that worked for another one may end, and how it says so through a pipe."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ingest.containment.bounds import TIME_SIGNALS
from ingest.containment.wire import pack, unpack
from ingest.rejection import Rejection
from shards.errors import MaskloomError
from shards.schema import RejectReason
from shards.storage import printable

_FAULTS = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"})
"""Signals that a process brings upon itself. Any other one came from outside, and no file is to blame."""


@dataclass(frozen=True, slots=True)
class Done:
    """It finished, and this is what it made."""

    made: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """It refused the item."""

    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Failed:
    """It met an error that a user can act on."""

    error: MaskloomError


@dataclass(frozen=True, slots=True)
class Broken:
    """It met an error that nobody foresaw: a fault of the program, with its traceback."""

    trace: str


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Memory was refused to it."""


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """It took longer than allowed."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """It died of itself; `how` names the signal or the exit status."""

    how: str


@dataclass(frozen=True, slots=True)
class Killed:
    """It was killed from outside: by an operator, or by a machine that had no memory left."""

    signal_name: str


Ending = Done | Refused | Failed | Broken | OutOfMemory | OutOfTime | Crashed | Killed


def report_of(work: Callable[[], object]) -> bytes:
    """Do the work and return how it ended, as bytes for `ending_of`.

    What wants to end the process (SystemExit) does: a decoder that exits counts as crashed.
    """
    try:
        return _report("done", work())
    except Rejection as rejection:
        return _report("refused", rejection.reason.value, rejection.detail)
    except MaskloomError as error:
        return _report("failed", type(error).__name__, printable(str(error)))
    except MemoryError:
        return _report("out of memory")
    except Exception:
        return _report("broken", printable(traceback.format_exc()))


def _report(*values: object) -> bytes:
    return pack(list(values))


def pass_on(ending: Ending) -> bytes:
    """Return an ending as bytes, to report it further up.

    Raises:
        TypeError: It is the ending of a process that said nothing; whoever waited for it decides what it means.
    """
    match ending:
        case Done(made):
            return _report("done", made)
        case Refused(rejection):
            return _report("refused", rejection.reason.value, rejection.detail)
        case Failed(error):
            return _report("failed", type(error).__name__, str(error))
        case Broken(trace):
            return _report("broken", trace)
        case _:
            raise TypeError(f"{ending} is for the process that waited for it")


def ending_of(report: bytes, status: int) -> Ending:
    """Tell how a process ended.

    Args:
        report: All that it wrote.
        status: Its exit status, as `os.waitpid` gives it.
    """
    if os.WIFSIGNALED(status):
        return _ending_by_signal(os.WTERMSIG(status))
    if os.waitstatus_to_exitcode(status) != 0 or not report:
        return Crashed(f"it ended its process with status {os.waitstatus_to_exitcode(status)}")
    return read_report(report)


def _ending_by_signal(number: int) -> Ending:
    if number in TIME_SIGNALS:
        return OutOfTime()
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return Crashed(name) if name in _FAULTS else Killed(name)


def read_report(report: bytes) -> Ending:
    """Read what `report_of` or `pass_on` wrote.

    Raises:
        ValueError: The report is cut short or is none.
    """
    match unpack(report):
        case ["done", made]:
            return Done(made)
        case ["refused", str(reason), str(detail)]:
            return Refused(Rejection(RejectReason(reason), detail))
        case ["failed", str(name), str(message)]:
            return Failed(_error_class(name)(message))
        case ["broken", str(trace)]:
            return Broken(trace)
        case ["out of memory"]:
            return OutOfMemory()
        case other:
            raise ValueError(f"a process reported {other!r}, which is no ending")


def _error_class(name: str) -> type[MaskloomError]:
    return next((error for error in _descendants(MaskloomError) if error.__name__ == name), MaskloomError)


def _descendants(error: type[MaskloomError]) -> Iterator[type[MaskloomError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)
