"""Spans of time on a line of samples or feature frames."""

from pipelines.views import View


def span_of(view: View, *, per_second: float, begins: float, length: int, most: int) -> tuple[int, int, int]:
    """Return which part of a stored line a view asks for, and where it goes.

    Everything is rounded to the nearest element, so what is shown is off by half an element at most.

    Args:
        view: Its `start` and `seconds` say what is asked for.
        per_second: Elements in a second.
        begins: When the first element is heard, in seconds from the start of the clip.
        length: Elements stored.
        most: Elements that there is room for.

    Returns:
        The first stored element and the one after the last, which are equal where nothing is heard, and the place of the
        first in the row: above 0 where the stored line begins after the view.
    """
    start = round((view.start - begins) * per_second)
    wanted = most if view.seconds is None else min(most, round(view.seconds * per_second))
    first = min(max(0, start), length)
    last = max(first, min(start + wanted, length))
    return first, last, first - start if last > first else 0
