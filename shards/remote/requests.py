"""Requests to a server that may be busy, slow or gone: which failures pass, how long to try, and what to say at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn

from shards.errors import CorruptShardError, Damage
from shards.remote.access import Patience

_WRONG_REPLIES = 3
"""Replies that are not what was stored, after which the copy on the server is taken to be damaged."""

Range = tuple[int, int] | None
"""First byte and the one behind the last; None for a whole file."""


class TransientError(Exception):
    """The server did not answer, or said that it cannot now; it may the next time."""

    kind = Damage.UNREACHABLE


class ShortReplyError(TransientError):
    """Fewer bytes came than were asked for."""

    kind = Damage.TRUNCATED


class WrongReplyError(TransientError):
    """Other bytes came than those that were stored."""

    kind = Damage.PAYLOAD


class FinalError(Exception):
    """The server answered, and asking again would not change it."""

    def __init__(self, what: str, kind: Damage) -> None:
        super().__init__(what)
        self.kind = kind


def ask(request: Callable[[], bytes], *, url: str, path: str, wanted: Range, patience: Patience) -> bytes:
    """Send a request until it succeeds, fails for good, or the patience is over.

    Args:
        request: Sends it once; raises TransientError or FinalError.
        url: What is asked for, for messages.
        path: The same as the dataset names it.
        wanted: Which bytes of it.
        patience: How long to try.

    Raises:
        CorruptShardError: It failed; says what the server said, how often and how long it was tried, and what to do.
    """
    started, tries, wait = time.monotonic(), 0, patience.first_wait_s
    while True:
        tries += 1
        try:
            return request()
        except FinalError as error:
            _give_up(error, error.kind, url=url, path=path, wanted=wanted, effort="")
        except TransientError as error:
            passed = time.monotonic() - started
            pause = wait * (0.5 + 0.5 * _chance())
            is_answered = error.kind != Damage.UNREACHABLE
            if passed + pause > patience.give_up_s or (is_answered and tries >= _WRONG_REPLIES):
                effort = f" Tries: {tries}, in {passed:.1f} s."
                _give_up(error, error.kind, url=url, path=path, wanted=wanted, effort=effort)
        time.sleep(pause)
        wait = min(2 * wait, patience.longest_wait_s)


def _chance() -> float:
    """Return a number in [0, 1) from the system: waiting is no part of what a seed decides."""
    return int.from_bytes(os.urandom(4)) / 2**32


_ADVICE = {
    Damage.MISSING: "Check the address; if a copy of the dataset was interrupted, complete it.",
    Damage.TRUNCATED: "The copy there is not complete, or the server is at fault: copy the file again.",
    Damage.PAYLOAD: "The copy there is damaged: copy the file again.",
    Damage.UNREACHABLE: "Check the address, the network, and the credentials in the environment; then start again.",
}


def _give_up(error: Exception, kind: Damage, *, url: str, path: str, wanted: Range, effort: str) -> NoReturn:
    what = "" if wanted is None else f", bytes {wanted[0]}..{wanted[1]}"
    raise CorruptShardError(f"{url}{what}: {error}.{effort} {_ADVICE[kind]}", kind=kind, shard=path) from error
