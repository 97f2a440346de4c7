"""A dictionary that forgets: what readers keep open or decoded, without growing with the dataset."""

from __future__ import annotations

import threading
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Bounded(dict[Key, Value]):
    """A dictionary of at most `limit` entries; the one that was added first makes room.

    Looking up costs what it costs in any dictionary, which is why the order is that of adding and not of use. Threads may
    share it.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._adding = threading.Lock()

    def __setitem__(self, key: Key, value: Value) -> None:
        with self._adding:
            if key not in self and len(self) >= self._limit:
                del self[next(iter(self))]
            super().__setitem__(key, value)
