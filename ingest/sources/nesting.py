"""How deep JSON may be nested: deeper records exhaust the stack of whatever writes or reads them later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_NESTING = 64
"""Most lists and objects inside one another, the record itself included; people write a handful."""


def is_nested_too_deep(record: object) -> bool:
    """Tell whether a record of JSON has more than MAX_NESTING lists and objects inside one another."""
    level = [record]
    for _ in range(MAX_NESTING):
        level = [inner for outer in level for inner in _within(outer) if isinstance(inner, Mapping | list | tuple)]
        if not level:
            return False
    return True


def _within(outer: object) -> Iterable[object]:
    if isinstance(outer, Mapping):
        return outer.values()
    return outer if isinstance(outer, list | tuple) else ()
