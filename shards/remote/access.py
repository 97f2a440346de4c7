"""How a remote dataset is read: how long to wait for its server, and where blocks are kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shards.errors import SettingsError

CACHE_VARIABLE = "MASKLOOM_CACHE"
CACHE_BYTES_VARIABLE = "MASKLOOM_CACHE_BYTES"
_DEFAULT_CACHE_BYTES = 16 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for.

    Args:
        request_s: Longest time for one request, in seconds.
        give_up_s: Longest time for one range over all attempts, waiting included.
        first_wait_s: Wait after the first failure; doubled after each further one, and drawn anew between half and all
            of it, so that many readers do not come back at once.
        longest_wait_s: Where the doubling ends.
    """

    request_s: float = 60
    give_up_s: float = 600
    first_wait_s: float = 0.5
    longest_wait_s: float = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How remote datasets are read.

    Args:
        cache: Folder that blocks are kept in; every user has a folder of their own in there.
        cache_bytes: Most bytes to keep there; the least recently used make room.
        connections: Ranges that one process fetches at the same time.
        patience: How long a server is waited for.
    """

    cache: Path
    cache_bytes: int = _DEFAULT_CACHE_BYTES
    connections: int = 16
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Access:
        """Return what $MASKLOOM_CACHE and $MASKLOOM_CACHE_BYTES say, or the defaults: ~/.cache/maskloom and 16 GiB.

        Raises:
            SettingsError: A variable makes no sense.
        """
        base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(environment.get(CACHE_VARIABLE) or Path(base) / "maskloom")
        limit = environment.get(CACHE_BYTES_VARIABLE)
        return cls(
            cache=folder.expanduser().absolute(),
            cache_bytes=_DEFAULT_CACHE_BYTES if limit is None else _bytes_of(limit),
        )


def _bytes_of(text: str) -> int:
    """Read `500G` or `1000000000`: a whole number of bytes, or of KiB, MiB, GiB or TiB."""
    digits = text.rstrip("KMGT")
    unit = text[len(digits) :]
    if not (digits.isascii() and digits.isdigit() and unit in _UNITS):
        raise SettingsError(
            f"${CACHE_BYTES_VARIABLE} is '{text}'; it has to be a whole number of bytes, such as 50000000000, "
            "or of KiB, MiB, GiB or TiB, such as 50G."
        )
    return int(digits) * _UNITS[unit]
