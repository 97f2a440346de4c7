"""What one item may cost, enforced by the kernel inside the process that encodes it.

Time is that of the processor, so that a busy machine refuses the same items as an idle one; a decoder that waits for ever
without computing is stopped by the clock on the wall, later. Memory is counted from what the process holds when the item
begins. Whoever runs out of time is ended by a signal; whoever runs out of memory is refused it. The same bounds hold for
an item among others and for one by itself.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.settings import Limits

TIME_SIGNALS = frozenset({signal.SIGPROF, signal.SIGALRM})
"""What ends a process whose time is over: that of the processor, that of the clock."""
WAITING_FACTOR = 3.0
"""How many times the allowed processor time may pass on the clock: sharing a core with two others refuses nothing."""
_STATM = Path("/proc/self/statm")


@contextmanager
def bounded(limits: Limits) -> Iterator[None]:
    """Allow what happens inside `limits.item_seconds` of the processor and `limits.item_memory` more bytes.

    Memory is bounded on Linux only: other systems neither say what a process has mapped nor enforce the limit.
    """
    with _bounded_memory(limits.item_memory), bounded_time(limits.item_seconds):
        yield


@contextmanager
def bounded_time(seconds: float) -> Iterator[None]:
    """Let the kernel end this process when it has computed for `seconds`, or lived three times as long."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAITING_FACTOR * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _bounded_memory(extra: int) -> Iterator[None]:
    if not _STATM.exists():
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = _mapped_bytes() + extra
    resource.setrlimit(resource.RLIMIT_AS, (allowed if hard == resource.RLIM_INFINITY else min(allowed, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def _mapped_bytes() -> int:
    return int(_STATM.read_bytes().split()[0]) * resource.getpagesize()


def expect_time_signals() -> None:
    """Let the signals of the timers end this process and its children, whatever they were inherited as."""
    for number in TIME_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TIME_SIGNALS)


def forbid_core_dumps() -> None:
    """Write no core files: a decoder that crashes a thousand times must not fill the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
