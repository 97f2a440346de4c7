import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ingest.perceptual import FLAT, Pixels, grey_contrast, perceptual_hash

PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg")


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    folder = Path(skimage.__file__).parent / "data"
    return [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]


def distance(first: Image.Image, second: Image.Image) -> int:
    return (perceptual_hash(np.asarray(first)) ^ perceptual_hash(np.asarray(second))).bit_count()


def compressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=50)
    return Image.open(buffer)


def halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)


def brightened(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(picture) * 1.05 + 8, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("change", [compressed, halved, brightened])
def test_the_same_photograph_keeps_its_hash_but_for_few_bits(
    photographs: list[Image.Image], change: Callable[[Image.Image], Image.Image]
) -> None:
    distances = [distance(picture, change(picture)) for picture in photographs]
    assert max(distances) <= 8
    assert np.mean(distances) <= 3


def test_photographs_of_different_things_differ_in_many_bits(photographs: list[Image.Image]) -> None:
    assert min(distance(first, second) for first, second in combinations(photographs, 2)) > 16


def test_a_mirrored_photograph_is_another_picture(photographs: list[Image.Image]) -> None:
    assert all(distance(picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 16 for picture in photographs)


def test_the_hash_of_a_known_picture_is_the_same_everywhere() -> None:
    row, column = np.mgrid[0:300, 0:400]
    picture = ((row * row + 3 * row * column) // 97 % 251).astype(np.uint8)
    assert perceptual_hash(picture) == 0x73F7F7FF8F0


def test_grey_counts_the_same_with_and_without_a_channel_axis(photographs: list[Image.Image]) -> None:
    grey = np.asarray(photographs[0].convert("L"))
    assert perceptual_hash(grey) == perceptual_hash(grey[..., None])
    assert grey_contrast(grey) == grey_contrast(grey[..., None])


@pytest.mark.parametrize("shape", [(240, 320), (3, 3), (1, 1)])
def test_a_picture_of_one_colour_is_flat(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), (250, 3, 77), dtype=np.uint8)
    assert perceptual_hash(picture) == FLAT
    assert grey_contrast(picture) == 0.0


def test_a_compressed_plain_gradient_and_faint_noise_are_flat() -> None:
    gradient = Image.fromarray(np.tile(np.linspace(0, 255, 500).astype(np.uint8), (375, 1)))
    noise = np.random.default_rng(0).normal(100, 1, (375, 500, 3)).round().astype(np.uint8)
    assert perceptual_hash(np.asarray(compressed(gradient))) == FLAT
    assert perceptual_hash(noise) == FLAT


def test_half_the_bits_of_a_photograph_are_set(photographs: list[Image.Image]) -> None:
    assert {perceptual_hash(np.asarray(picture)).bit_count() for picture in photographs} == {32}


def test_contrast_is_the_standard_deviation_of_grey() -> None:
    picture = np.zeros((90, 100, 3), dtype=np.uint8)
    picture[:, 50:] = 255
    assert grey_contrast(picture) == 127.5
    photograph_like = np.random.default_rng(1).integers(0, 256, (60, 70), dtype=np.uint8)
    assert grey_contrast(photograph_like) == pytest.approx(photograph_like.std())


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 200), st.integers(1, 200), st.sampled_from([1, 3])), fill=st.just(7)),
)
def test_every_picture_has_a_hash_of_64_bits_and_a_contrast(picture: Pixels) -> None:
    assert 0 <= perceptual_hash(picture) < 2**64
    assert 0.0 <= grey_contrast(picture) <= 127.5
    # A view with gaps in memory shows the same picture.
    gappy = np.repeat(picture, 2, axis=0)[::2]
    assert perceptual_hash(gappy) == perceptual_hash(picture)
