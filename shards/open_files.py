"""How many files a process may have open, which decides how many shards a reader keeps at hand."""

from __future__ import annotations

import resource
from functools import cache

_WANTED_FILES = 1 << 16
_MOST_SHARDS = 8192
"""A shuffle goes through 4096 blocks at a time; where each lies in a shard of its own, that is twice as many as are in use."""
_FILES_FOR_A_SHARD = 8
"""A tar and its index are two files. Shards of one dataset take at most a quarter of the files that a process may have open."""


@cache
def most_open_shards() -> int:
    """Return how many shards a reader keeps open, after raising the soft limit on open files as far as the system lets it.

    The usual soft limit, 1024, is there for programs that use `select`; opening a shard anew for nearly every sample
    that is read would cost thirty times as much as reading it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return max(1, min(_MOST_SHARDS, reachable // _FILES_FOR_A_SHARD))
