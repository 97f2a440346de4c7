"""Values that are cheap to load together and too large to hold all at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Windows(Generic[Key, Value]):
    """Loads values a window at a time, in the order in which they will be asked for.

    One window is held. Values asked for in another order are found as well, for the price of loading again.

    Args:
        wanted: Keys in the order in which they will be asked for.
        load: Loads some of them; what it leaves out counts as None.
        length: Keys to a window.
    """

    def __init__(
        self, wanted: Iterable[Key], load: Callable[[Sequence[Key]], Mapping[Key, Value]], *, length: int
    ) -> None:
        self._wanted = list(dict.fromkeys(wanted))
        self._places = {key: place for place, key in enumerate(self._wanted)}
        self._load = load
        self._length = length
        self._window = -1
        self._loaded: Mapping[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, loading its window if need be."""
        window = self._places[key] // self._length
        if window != self._window:
            self._loaded = {}  # let go of the last window before the next one takes its place in memory
            start = window * self._length
            self._loaded = self._load(self._wanted[start : start + self._length])
            self._window = window
        return self._loaded.get(key)
