"""Bars for a page: histograms of measures, and counts by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.inspect import wording
from pipelines.inspect.examined import Spread

WIDTH, HEIGHT = 300, 72
"""Units of the drawing that a histogram fills."""
_MAX_BARS = 30
_WIDE = 20
"""From this ratio of the 95th percentile to the 5th on, bars are equally wide in the logarithm."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a histogram, in units of the drawing, and what it stands for in words."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How a measure is spread: bars from the least value to the largest, the place of the median, and all in words."""

    name: str
    bars: tuple[Bar, ...]
    median_x: float
    least: str
    median: str
    most: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often something occurs, and as a part, in [0, 1], of the most frequent one."""

    name: str
    count: int
    part: float


def histogram(name: str, values: Floats) -> Histogram:
    """Draw how at least two different values are spread.

    Bars are equally wide, in the logarithm where values span more than a factor of 20. Otherwise, every bar of whole
    numbers stands for equally many of them.
    """
    spread = Spread.of(values)
    is_wide = spread.least > 0 and spread.high >= _WIDE * spread.low
    is_whole = not is_wide and bool((values == np.rint(values)).all())
    edges = _log_edges(values) if is_wide else _whole_edges(values) if is_whole else _even_edges(values)
    counts, _ = np.histogram(values, edges)
    places = np.linspace(0, WIDTH, len(edges))
    scale = np.log if is_wide else np.asarray
    middle = spread.median + (0.5 if is_whole else 0)
    return Histogram(
        name=name,
        bars=tuple(
            Bar(
                x=round(float(left), 2),
                y=round(HEIGHT * (1 - count / int(counts.max())), 2),
                width=round(float(right - left) * 0.92, 2),
                height=round(HEIGHT * count / int(counts.max()), 2),
                words=f"{_span(name, float(low), float(high), is_whole=is_whole)}: {count:,} samples",
            )
            for left, right, low, high, count in zip(
                places[:-1], places[1:], edges[:-1], edges[1:], counts.tolist(), strict=True
            )
            if count
        ),
        median_x=round(float(np.interp(scale(middle), scale(edges), places)), 2),
        least=in_words(name, spread.least),
        median=in_words(name, spread.median),
        most=in_words(name, spread.most),
        note="logarithmic" if is_wide else "",
    )


def _span(name: str, low: float, high: float, *, is_whole: bool) -> str:
    """Say from which value to which a bar stands; of whole numbers, the upper edge is the first one beyond."""
    if is_whole and high - low == 1:
        return in_words(name, low)
    return f"{in_words(name, low)} to {in_words(name, high - 1 if is_whole else high)}"


def _even_edges(values: Floats) -> Floats:
    return np.linspace(values.min(), values.max(), _MAX_BARS + 1)


def _whole_edges(values: Floats) -> Floats:
    least, most = float(values.min()), float(values.max())
    step = -(-(most - least + 1) // _MAX_BARS)
    return np.asarray(least + step * np.arange(-(-(most - least + 1) // step) + 1))


def _log_edges(values: Floats) -> Floats:
    edges = np.geomspace(values.min(), values.max(), _MAX_BARS + 1)
    edges[0], edges[-1] = values.min(), values.max()  # rounding must not leave the outermost values out
    return edges


def counts_by_name(counts: Mapping[str, int], *, most: int) -> tuple[list[Count], int]:
    """Return the most frequent names, at most `most`, and how many more there are."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    largest = max((count for _, count in ordered), default=1)
    return [Count(name=name, count=count, part=count / largest) for name, count in ordered[:most]], max(
        0, len(ordered) - most
    )


def in_words(name: str, value: float) -> str:
    """Write a value of a measure: bytes and seconds with their unit, everything else as a number."""
    measure = name.rpartition(".")[2]
    return {"size": wording.size, "seconds": wording.seconds}.get(measure, wording.number)(value)
