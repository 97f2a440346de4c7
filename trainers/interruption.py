"""Stopping on request: SIGTERM and Ctrl-C let the step in progress finish, so that the run can be saved."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a second one acts as it would have without this object.

    A context manager: the handlers that were there before come back on leaving. To be entered in the main thread and
    before data workers start: they inherit the handlers, so that Ctrl-C in a terminal, which reaches every process,
    does not take them down in the middle of a step.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        # A signal to the whole process group kills data workers too, and torch turns the death of a worker into an
        # exception in whatever line runs then, such as the one that saves. From here on no more data is needed.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        self._put_back()
