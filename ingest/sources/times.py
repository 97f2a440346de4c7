"""Times in tables: seconds, or hours, minutes and seconds as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

_CLOCK = re.compile(r"\s*(?:(\d{1,6}):)?(\d{1,6}):([0-5]\d(?:\.\d*)?)\s*", re.ASCII)


def seconds_of(value: Any) -> float:  # noqa: ANN401 - a table holds anything
    """Return a time in seconds from a number of them, or from `mm:ss` or `hh:mm:ss`, with a fraction or without.

    What is no time is NaN.
    """
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock is not None:
        hours, minutes, seconds = clock.groups(default="0")
        return math.nan if clock[1] and int(minutes) > 59 else int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
