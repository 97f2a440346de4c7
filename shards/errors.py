"""The exceptions that several packages share; the other packages derive theirs from them, beside the code that raises.

    MaskloomError               something a user can act on; the command prints the message, never a traceback
    ├── DatasetError            a dataset folder is not what it claims to be
    │   ├── MissingDatasetError     there is no sealed dataset where one was asked for
    │   ├── CorruptShardError       stored bytes differ from what was recorded (shard, key)
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


class MaskloomError(Exception):
    """Something a user can act on; its text is complete without a traceback."""


class DatasetError(MaskloomError):
    """A dataset folder is not what it claims to be."""


class MissingDatasetError(DatasetError):
    """There is no sealed dataset where one was asked for."""


class CorruptShardError(DatasetError):
    """Stored bytes differ from what was recorded when they were written."""


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
