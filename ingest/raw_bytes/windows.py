"""Values that are cheap to load together and too large to hold all at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Windows(Generic[Key, Value]):
    """Loads values a window at a time, in the order in which they will be asked for.

    The windows of the keys prepared last are held. Values asked for in another order are found as well, for the price of
    loading again.

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
        self._held: dict[int, Mapping[Key, Value]] = {}

    def prepare(self, keys: Iterable[Key]) -> None:
        """Load the windows of keys that will be asked for together; keys that were never announced are passed over."""
        needed = {self._places[key] // self._length for key in keys if key in self._places}
        if not needed:
            return
        # Let go of the last windows before the next ones take their place in memory.
        self._held = {window: values for window, values in self._held.items() if window in needed}
        for window in sorted(needed - self._held.keys()):
            start = window * self._length
            self._held[window] = self._load(self._wanted[start : start + self._length])

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, loading its window if need be."""
        window = self._places[key] // self._length
        if window not in self._held:
            self.prepare([key])
        return self._held[window].get(key)
