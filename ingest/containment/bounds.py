"""What one item may cost, enforced by the kernel inside the process that encodes it.

Time is that of the processor, so that a busy machine refuses the same items as an idle one; a decoder that waits for ever
without computing is stopped by the clock on the wall, later. Memory is counted from what the process holds when the item
begins. Whoever runs out of time is ended by a signal; whoever runs out of memory is refused it. The same bounds hold for
an item among others and for one by itself.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from ingest.settings import Limits

TIME_SIGNALS = frozenset({signal.SIGPROF, signal.SIGALRM})
"""What ends a process whose time is over: that of the processor, that of the clock."""
WAITING_FACTOR = 3.0
"""How many times the allowed processor time may pass on the clock: sharing a core with two others refuses nothing."""
_STATM = "/proc/self/statm"
_PAGE = resource.getpagesize()


class ItemBounds:
    """Allows what happens inside `with` so many seconds of the processor and so many more bytes; made once for a job.

    Memory is bounded on Linux only: other systems neither say what a process has mapped nor enforce the limit.
    """

    def __init__(self, limits: Limits) -> None:
        self._time = TimeBound(limits.item_seconds)
        self._memory = limits.item_memory
        self._statm = os.open(_STATM, os.O_RDONLY) if sys.platform == "linux" else None
        self._before = resource.getrlimit(resource.RLIMIT_AS)

    def __enter__(self) -> None:
        if self._statm is not None:
            pages = int(os.pread(self._statm, 64, 0).split(None, 1)[0])
            allowed, hard = pages * _PAGE + self._memory, self._before[1]
            resource.setrlimit(resource.RLIMIT_AS, (allowed if hard < 0 else min(allowed, hard), hard))
        self._time.__enter__()

    def __exit__(self, *_: object) -> None:
        self._time.__exit__()
        resource.setrlimit(resource.RLIMIT_AS, self._before)


class TimeBound:
    """Lets the kernel end this process when it has computed for so many seconds inside `with`, or lived three times as long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        signal.setitimer(signal.ITIMER_REAL, WAITING_FACTOR * self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def expect_time_signals() -> None:
    """Let the signals of the timers end this process and its children, whatever they were inherited as."""
    for number in TIME_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TIME_SIGNALS)


def forbid_core_dumps() -> None:
    """Write no core files: a decoder that crashes a thousand times must not fill the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
