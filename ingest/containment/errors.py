"""What containment raises when no file is to blame."""

from __future__ import annotations

from shards.errors import MaskloomError

ATTEMPTS = 3
"""How often work is begun whose process is killed from outside, before that is called an error of the machine."""


class DecoderLostError(MaskloomError):
    """The machine kills the processes that decode, or does not let them start; no file is at fault."""


class UnforeseenError(Exception):
    """A fault of the program inside a decoder process; its text is the traceback from there."""


def killed_from_outside(what: str, signal_name: str) -> DecoderLostError:
    """Return the error for a process that was killed every time it was started."""
    return DecoderLostError(
        f"{what} was killed from outside {ATTEMPTS} times ({signal_name}): most likely the machine ran out of memory. "
        "Nothing was rejected for it and finished shards are kept; run the same command with fewer --workers."
    )
