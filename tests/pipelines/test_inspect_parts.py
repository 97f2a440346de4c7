"""The parts of the page about a dataset: shares of its size, bars, colours, quantised clouds, words."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.inspect import wording
from pipelines.inspect.allowance import Allowance
from pipelines.inspect.charts import HEIGHT, WIDTH, counts_by_name, histogram
from pipelines.inspect.clouds import MAX_POINTS, STEPS, pack_cloud
from pipelines.inspect.colours import MAGMA, VIRIDIS, id_colours, shade
from pipelines.inspect.panels import wave_path
from pipelines.inspect.pictures import nearest
from pipelines.inspect.rasters import show_band, show_composite, show_ids, show_logmel

finite = st.floats(-1e9, 1e9, width=32)
clouds = arrays.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(4)), elements=st.floats(width=32))


@given(sizes=st.lists(st.lists(st.integers(0, 400), max_size=4), min_size=1, max_size=8), total=st.integers(0, 2000))
def test_media_never_take_more_than_their_total_and_each_sample_has_its_share(
    sizes: list[list[int]], total: int
) -> None:
    allowance = Allowance(total, shares=len(sizes))
    taken = 0
    for sample in sizes:
        allowance.open_share()
        own = 0
        for size in sample:
            encoded = allowance.base64(bytes(size))
            if encoded is None:
                assert own + 4 * -(-size // 3) > total / len(sizes)
            else:
                assert base64.b64decode(encoded) == bytes(size)
                own += len(encoded)
        taken += own
    assert taken <= total


def test_what_must_stay_free_is_not_given_away() -> None:
    allowance = Allowance(100, shares=1)
    allowance.open_share()
    assert allowance.base64(bytes(60), leaving=30) is None
    assert allowance.base64(bytes(60), leaving=20) is not None


@given(
    values=st.lists(finite | st.integers(0, 50), min_size=2, max_size=60).filter(lambda values: len(set(values)) > 1)
)
def test_every_value_stands_in_one_bar_inside_the_drawing(values: list[float]) -> None:
    chart = histogram("image.width", np.array(values, dtype=np.float64))
    counts = [int(bar.words.rpartition(": ")[2].split()[0]) for bar in chart.bars]
    assert sum(counts) == len(values)
    assert max(bar.height for bar in chart.bars) == HEIGHT
    assert all(
        bar.x >= 0 and bar.x + bar.width <= WIDTH and bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)
        for bar in chart.bars
    )
    assert 0 <= chart.median_x <= WIDTH


def test_bars_of_few_whole_numbers_stand_for_one_number_each() -> None:
    chart = histogram("text.captions", np.array([1.0, 1, 2, 4]))
    assert [bar.words for bar in chart.bars] == ["1: 2 samples", "2: 1 samples", "4: 1 samples"]
    assert histogram("text.size", np.array([10.0, 100, 1e6])).note == "logarithmic"


def test_the_most_frequent_names_come_first_and_the_rest_is_counted() -> None:
    counted, more = counts_by_name({"a": 1, "b": 5, "c": 5, "d": 2}, most=3)
    assert [(item.name, item.count, item.part) for item in counted] == [("b", 5, 1), ("c", 5, 1), ("d", 2, 0.4)]
    assert more == 1


def test_neighbouring_ids_have_colours_of_their_own() -> None:
    colours = id_colours(np.arange(60)).astype(int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 60
    assert all(np.abs(colours[row] - colours[row + 1]).sum() > 60 for row in range(59))


@pytest.mark.parametrize("scale", [VIRIDIS, MAGMA])
def test_a_higher_value_is_a_lighter_colour(scale: tuple[str, ...]) -> None:
    colours = shade(np.linspace(2, 3, 200)[None], scale, low=2.0, high=3.0)[0].astype(float)
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) >= 0).all()
    assert lightness[0] < 25 < 180 < lightness[-1]


@given(cloud=clouds)
def test_a_packed_cloud_is_where_the_cloud_is(cloud: np.ndarray) -> None:
    usable = cloud[np.isfinite(cloud[:, :3]).all(axis=1)]
    packed = pack_cloud(cloud, ["x", "y", "z", "intensity"], key="k")
    assert packed.count == len(usable)
    assert len(packed.data) == packed.count * (6 + sum(colouring.width for colouring in packed.colourings))
    assert packed.colourings[0].name == "height"


def test_the_shape_of_a_cloud_is_kept() -> None:
    cloud = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * (10, 1, 0.1)
    packed = pack_cloud(cloud.astype(np.float32), ["x", "y", "z"], key="k")
    places = np.frombuffer(packed.data, "<i2", 3 * packed.count).reshape(-1, 3) / STEPS
    scale = np.ptp(places, axis=0) / np.ptp(cloud, axis=0)
    assert scale == pytest.approx([scale[0]] * 3, rel=0.02)
    assert np.linalg.norm(places, axis=1).max() < 2


def test_a_large_cloud_is_thinned_and_the_same_points_are_drawn_again() -> None:
    cloud = np.random.default_rng(0).random((3 * MAX_POINTS, 6), dtype=np.float32)
    columns = ["x", "y", "z", "red", "green", "blue"]
    packed = pack_cloud(cloud, columns, key="k")
    assert packed.count == MAX_POINTS
    assert packed == pack_cloud(cloud, columns, key="k") != pack_cloud(cloud, columns, key="l")
    assert [(colouring.name, colouring.width) for colouring in packed.colourings] == [("colour", 3), ("height", 1)]


def test_ids_are_shown_with_their_shares() -> None:
    values = np.array([[1, 1, 1], [1, 7, 0]], np.uint8)
    pixels, identities = show_ids(values)
    assert [(item.number, round(item.share * 6)) for item in identities] == [(1, 4), (0, 1), (7, 1)]
    assert identities[0].colour == "#{:02x}{:02x}{:02x}".format(*pixels[0, 0])
    assert (pixels[0, 0] == pixels[1, 0]).all()


@given(values=arrays.arrays(np.float32, (4, 5, 3), elements=st.floats(width=32)))
def test_whatever_a_raster_holds_can_be_shown(values: np.ndarray) -> None:
    with np.errstate(all="raise"):
        for picture in (show_composite(values), show_band(values[:, :, 0], field="depth").pixels):
            assert picture.shape == (4, 5, 4)
        assert show_ids(values[:, :, 0])[0].shape == (4, 5, 3)
    holes = ~np.isfinite(values[:, :, 0])
    assert (show_band(values[:, :, 0], field="height").pixels[holes, 3] == 0).all()


@given(
    features=arrays.arrays(np.float16, st.tuples(st.integers(0, 800), st.integers(1, 6)), elements=st.floats(width=16))
)
def test_log_mel_features_of_any_length_become_a_picture(features: np.ndarray) -> None:
    picture = show_logmel(features)
    assert picture.shape[1] == max(1, min(360, len(features)))


def test_low_bands_are_at_the_bottom_and_loud_is_bright() -> None:
    features = np.full((10, 4), -10, np.float16)
    features[:, 0] = 5
    picture = show_logmel(features).sum(axis=2)
    assert (picture[-1] > picture[0]).all()


@given(length=st.integers(0, 3000))
def test_the_outline_of_a_waveform_spans_its_drawing(length: int) -> None:
    samples = np.sin(np.arange(length, dtype=np.float32))
    path = wave_path(samples)
    if length:
        corners = [tuple(map(float, corner.split())) for corner in path[1:-1].split("L")]
        assert len(corners) == 600
        assert all(0 <= x < 300 and 0 <= y <= 64 for x, y in corners)


@given(height=st.integers(1, 40), width=st.integers(1, 40), longest=st.integers(1, 50))
def test_thinning_a_raster_keeps_its_values_and_its_shape(height: int, width: int, longest: int) -> None:
    values = np.arange(height * width, dtype=np.int32).reshape(height, width, 1)
    thinned = nearest(values, longest=longest)
    assert max(thinned.shape) == min(longest, max(height, width))
    assert set(thinned.ravel().tolist()) <= set(values.ravel().tolist())
    if longest >= max(height, width):
        assert (thinned == values).all()


def test_numbers_are_written_as_people_read_them() -> None:
    assert [wording.number(value) for value in (0, 0.25, 1500, 2.5e-6, -9.104)] == [
        "0",
        "0.25",
        "1,500",
        "2.5e-06",
        "-9.104",
    ]
    assert [wording.size(value) for value in (0, 820, 34_500, 999_600, 1.2e9)] == [
        "0 B",
        "820 B",
        "34.5 kB",
        "1 MB",
        "1.2 GB",
    ]
    assert [wording.seconds(value) for value in (0.25, 125, 5400)] == ["0.25 s", "2 min 5 s", "1 h 30 min"]
    assert wording.fact(list(range(20))) == "0, 1, 2, 3, 4, 5, 6, 7, … (20 in all)"
    assert [wording.fact(value) for value in (None, float("nan"), "x" * 300)][:2] == ["unknown", "nan"]
