"""Numbers and long texts as people read them."""

from __future__ import annotations

from typing import Any

Number = int | float

_PREFIXES = ("", "k", "M", "G", "T", "P")


def number(value: Number) -> str:
    """Write a number with about four digits: 0, 0.25, 1,500, 2.5e-06."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def size(num_bytes: Number) -> str:
    """Write a number of bytes in decimal units: 820 B, 34.5 kB, 1.2 GB."""
    place = 0
    while num_bytes >= 999.5 and place < len(_PREFIXES) - 1:
        num_bytes, place = num_bytes / 1000, place + 1
    digits = f"{num_bytes:.3g}" if num_bytes < 100 else f"{num_bytes:.0f}"
    return f"{digits} {_PREFIXES[place]}B"


def seconds(value: Number) -> str:
    """Write a duration: 0.25 s, 2 min 5 s, 1 h 30 min."""
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def cut(text: str, most: int) -> tuple[str, int]:
    """Return the first `most` characters of a text, and how many more there are."""
    return text[:most], max(0, len(text) - most)


def clipped(text: str, most: int) -> str:
    """Return a text, or its first `most` characters and how many more there are."""
    shown, hidden = cut(text, most)
    return f"{shown}… ({hidden:,} more characters)" if hidden else shown


def fact(value: Any) -> str:  # noqa: ANN401 - whatever a column of the index may hold
    """Write a fact of the index; lists are cut after eight values."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        more = f", … ({len(value):,} in all)" if len(value) > 8 else ""
        return ", ".join(map(fact, value[:8])) + more
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value) if abs(value) < float("inf") else str(value)
    return clipped(str(value), 200)
