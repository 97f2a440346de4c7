"""Charts."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.report.curves import MAX_POINTS, Curve, line_chart, shorten, smooth


@given(
    points=st.lists(
        st.tuples(st.floats(-1e9, 1e9), st.floats(allow_nan=True, allow_infinity=True, width=32)), min_size=1
    )
)
def test_any_numbers_make_valid_svg_or_none(points: list[tuple[float, float]]) -> None:
    curve = Curve(name="<loss>", x=[x for x, _ in points], y=[y for _, y in points])
    svg = line_chart([curve], title="a < b", x_label="epoch")
    if svg:
        assert ElementTree.fromstring(svg).tag == "svg"
        assert "nan" not in svg
        assert "inf" not in svg


def test_higher_values_are_drawn_higher() -> None:
    svg = line_chart([Curve(name="loss", x=[0.0, 1.0, 2.0], y=[5.0, 1.0, 3.0])], title="loss", x_label="epoch")
    line = ElementTree.fromstring(svg).find("polyline")
    assert line is not None
    heights = [float(corner.split(",")[1]) for corner in line.attrib["points"].split()]
    assert heights[0] < heights[2] < heights[1]


def test_long_curves_are_shortened_and_keep_their_mean() -> None:
    values = [float(i % 7) for i in range(10_000)]
    short = shorten(values)
    assert len(short) == MAX_POINTS
    assert sum(short) / len(short) == pytest.approx(sum(values) / len(values))


def test_smoothing_keeps_constants_and_length() -> None:
    assert smooth([2.0] * 333) == pytest.approx([2.0] * 333)
