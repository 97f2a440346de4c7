"""The exceptions that several packages share; the other packages derive theirs from them, beside the code that raises.

    MaskloomError               something a user can act on; the command prints the message, never a traceback
    ├── DatasetError            a dataset folder is not what it claims to be
    │   ├── MissingDatasetError     there is no sealed dataset where one was asked for
    │   ├── CorruptShardError       stored bytes are not, or not to be had as, what was recorded (kind, shard, key, field)
    │   └── PlanMismatchError       a resumed ingest no longer matches the folder it resumes
    ├── MissingFieldError       a field was asked for that the dataset does not hold
    ├── MissingTargetError      a stored target was asked for that is not there, or not sealed
    ├── SourceError             the raw input cannot be listed or understood
    ├── StorageError            the output cannot be written (full disk, read-only folder)
    └── SettingsError           a command line or `--set` value makes no sense

Every message says what was asked, what was found, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum


class MaskloomError(Exception):
    """Something a user can act on; its text is complete without a traceback."""


class DatasetError(MaskloomError):
    """A dataset folder is not what it claims to be."""


class MissingDatasetError(DatasetError):
    """There is no sealed dataset where one was asked for."""


class Damage(StrEnum):
    """What is wrong with stored bytes. The list is closed."""

    PAYLOAD = "payload"
    """A member is not what was stored."""
    HEADER = "header"
    """The tar header before a member is damaged, or that of another member."""
    TRUNCATED = "truncated"
    """A file ends before what it should hold."""
    MISSING = "missing"
    """A file is not there."""
    TARGET = "target"
    """A stored target does not belong to the samples: stale, or of another shard."""
    DECODE = "decode"
    """The bytes are those that were stored, but cannot be decoded."""
    UNREACHABLE = "unreachable"
    """A server did not hand the bytes over."""


class CorruptShardError(DatasetError):
    """Stored bytes differ from what was recorded when they were written, or cannot be had.

    Args:
        message: What people read; complete without the rest.
        kind: What is wrong, as far as it is known.
        shard: The file, as its dataset names it, if it is one of a shard.
        key: The sample, if it is a single one.
        field: Its field.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Damage | None = None,
        shard: str | None = None,
        key: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.shard = shard
        self.key = key
        self.field = field


class PlanMismatchError(DatasetError):
    """A resumed ingest no longer matches the folder it resumes."""


class MissingFieldError(MaskloomError):
    """A field was asked for that the dataset does not hold."""


class MissingTargetError(MaskloomError):
    """A stored target was asked for that is not there, or not sealed."""


class SourceError(MaskloomError):
    """The raw input cannot be listed or understood."""


class StorageError(MaskloomError):
    """The output cannot be written."""


class SettingsError(MaskloomError):
    """A command line or setting makes no sense."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest of `options` to `name`, or an empty string if none is close."""
    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
