"""Arrays of several halves in one file, as Keras has them: `x_train` and `y_train`, `x_test` and `y_test`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def halves_of(rows: Mapping[str, int]) -> dict[str, int]:
    """Return the endings that an `x` and a `y` of equal length share, with that length.

    Args:
        rows: Length of every array by its name; small and capital letters are the same.
    """
    lengths = {name.lower(): count for name, count in rows.items()}
    return {
        name.removeprefix("x"): count
        for name, count in lengths.items()
        if name.startswith("x_") and lengths.get(f"y{name.removeprefix('x')}") == count
    }


def half_of(name: str, halves: Iterable[str]) -> str:
    """Return the ending (`_train`) of those given that a name has; empty for none."""
    return next((half for half in halves if name.lower().endswith(half)), "")


def chosen_half(halves: Mapping[str, int], named: Iterable[str]) -> str:
    """Return the half that is read: the one that the user names an array of, else the longest; empty without halves."""
    asked = next((half for name in named if (half := half_of(name, halves))), "")
    return asked or max(halves, key=lambda half: halves[half], default="")
