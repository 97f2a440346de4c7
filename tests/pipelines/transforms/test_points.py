import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.points import PointsDecodeError, decode_points


def encoded(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(1, 3), (0, 4), (8192, 6), (3, 1)])
def test_what_numpy_saves_is_decoded_to_an_array_of_ones_own(shape: tuple[int, int]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    decoded = decode_points(encoded(array))
    assert decoded.dtype == np.float32
    assert (decoded == array).all()
    decoded[...] = 0  # it may be written to


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3)),
        np.zeros((2, 3), ">f4"),
        np.zeros(3, np.float32),
        np.zeros((2, 3, 4), np.float32),
        np.asfortranarray(np.zeros((2, 3), np.float32)),
        np.zeros((2, 3), np.int32),
        np.full((2, 3), None),
        np.zeros(2, [("x", "<f4")]),
    ],
)
def test_arrays_of_another_type_shape_or_order_are_refused(array: np.ndarray) -> None:
    with pytest.raises(PointsDecodeError, match="float32 array"):
        decode_points(encoded(array))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:128]])
def test_numbers_that_do_not_fill_the_shape_are_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(PointsDecodeError, match="takes 24 bytes"):
        decode_points(change(encoded(np.zeros((2, 3), np.float32))))


@given(st.binary(max_size=200), st.integers(0, 130))
def test_damaged_bytes_are_decoded_or_refused_and_nothing_else(tail: bytes, kept: int) -> None:
    try:
        decoded = decode_points(encoded(np.ones((2, 3), np.float32))[:kept] + tail)
    except PointsDecodeError:
        return
    assert decoded.shape == (2, 3)
