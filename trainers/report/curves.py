"""Line charts as inline SVG: no script, no font, no file besides the page they stand in."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 38
MAX_POINTS = 400
"""Longer curves are drawn as the mean of that many equal stretches."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One named line; `faint` ones give the background for another."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    faint: bool = False


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A linear map from values to pixels, with round tick values."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Between `count` / 2 and `count` * 2 multiples of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def shorten(values: Sequence[float], points: int = MAX_POINTS) -> list[float]:
    """At most `points` values: the means of equal stretches of `values`, in order."""
    if len(values) <= points:
        return list(values)
    edges = [round(index * len(values) / points) for index in range(points + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]


def smooth(values: Sequence[float]) -> list[float]:
    """A centred moving average over a fiftieth of the values, at least three; shorter at the ends."""
    reach = max(1, len(values) // 100)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [
        (sums[min(len(values), i + reach + 1)] - sums[max(0, i - reach)])
        / (min(len(values), i + reach + 1) - max(0, i - reach))
        for i in range(len(values))
    ]


def line_chart(curves: Sequence[Curve], *, title: str, x_label: str, from_zero: bool = False) -> str:
    """Draw `curves` over a common x axis, as an `<svg>` element coloured by the page's CSS variables.

    Values that are not finite are left out. Returns an empty string when nothing is left to draw.
    """
    cleaned = [_finite(curve) for curve in curves]
    x_values = [value for curve in cleaned for value in curve.x]
    y_values = [value for curve in cleaned for value in curve.y]
    if not x_values:
        return ""
    horizontal = _axis(x_values, LEFT, WIDTH - RIGHT, margin=0.0)
    vertical = _axis([*y_values, 0.0] if from_zero else y_values, HEIGHT - BOTTOM, TOP, margin=0.06)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_grid(horizontal, vertical),
        *(_path(curve, index, horizontal, vertical) for index, curve in enumerate(cleaned)),
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
        "</svg>",
    ]
    return "\n".join(parts)


def _finite(curve: Curve) -> Curve:
    pairs = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Curve(name=curve.name, x=[x for x, _ in pairs], y=[y for _, y in pairs], faint=curve.faint)


def _axis(values: Sequence[float], start: int, end: int, *, margin: float) -> _Axis:
    low, high = min(values), max(values)
    room = (high - low) * margin
    if high - low < 1e-12 * max(1.0, abs(high)):
        room = abs(high) * 0.1 or 1.0
    return _Axis(low=low - (room if low != 0 else 0), high=high + room, start=float(start), end=float(end))


def _grid(horizontal: _Axis, vertical: _Axis) -> list[str]:
    lines = []
    for value in vertical.ticks():
        y = vertical.place(value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for value in horizontal.ticks(8):
        x = horizontal.place(value)
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(value)}</text>')
    return lines


def _path(curve: Curve, index: int, horizontal: _Axis, vertical: _Axis) -> str:
    corners = [
        f"{horizontal.place(x):.1f},{vertical.place(y):.1f}"
        for x, y in zip(shorten(curve.x), shorten(curve.y), strict=True)
    ]
    kind = "faint" if curve.faint else f"line hue-{index % 5}"
    if len(corners) == 1:
        x, _, y = corners[0].partition(",")
        return f'<circle class="{kind}" cx="{x}" cy="{y}" r="2"><title>{escape(curve.name)}</title></circle>'
    return f'<polyline class="{kind}" points="{" ".join(corners)}"><title>{escape(curve.name)}</title></polyline>'


def _number(value: float) -> str:
    """A tick label: 0, 0.25, 1,500, 2e6, 1e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"
