"""Spectrograms: time to the right, low tones at the bottom."""

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.modalities import LogMel
from tests.trainers.evaluate.drawing.making import noise, perfect, wrong
from trainers.evaluate.drawing.patches import BLANK
from trainers.evaluate.drawing.sounds import draw_sound, spectrogram
from trainers.targets.patches import NormalisedPatches, PixelPatches

LOGMEL = LogMel(frames=32, bins=16, patch=8, mean=-5.0, spread=4.0)
FEATURES = noise(3, 32, 16) * 12 - 12
of_any_target = pytest.mark.parametrize(
    "target", [NormalisedPatches(modality="logmel"), PixelPatches(modality="logmel")], ids=["normalised", "as shown"]
)


def by_patch(pictures: np.ndarray) -> np.ndarray:
    """Return [samples, tokens, values], tokens by time, then from low tones to high ones."""
    parts = pictures[:, ::-1].reshape(3, 2, 8, 4, 8, 3).transpose(0, 3, 1, 4, 2, 5)
    return parts.reshape(3, 8, -1)


@of_any_target
def test_a_perfect_prediction_gives_back_the_sound(target: Any) -> None:
    found = draw_sound(perfect(target, LOGMEL, FEATURES))
    original, _, restored = found.pictures.swapaxes(0, 1)
    expected = np.stack([spectrogram(sample) for sample in FEATURES])
    for drawn in (original, restored):
        assert drawn.shape == expected.shape == (3, 16, 32, 3)
        assert np.abs(drawn.astype(int) - expected).max() <= 4  # one step of the scale of colours
    assert found.stacked == "below"


@of_any_target
def test_hidden_patches_are_blank_in_what_was_seen_and_filled_in_what_is_imagined(target: Any) -> None:
    prediction = wrong(perfect(target, LOGMEL, FEATURES))
    original, seen, imagined = (by_patch(tile) for tile in draw_sound(prediction).pictures.swapaxes(0, 1))
    hidden = prediction.hidden.numpy()
    assert (seen[hidden] == BLANK).all()
    assert np.array_equal(seen[~hidden], original[~hidden])
    assert np.array_equal((imagined != original).any(axis=-1), hidden)


def test_a_low_tone_at_the_end_is_bright_at_the_bottom_right() -> None:
    features = torch.full((3, 32, 16), -16.0)
    features[:, 30:, :2] = 4.0
    original = draw_sound(perfect(PixelPatches(modality="logmel"), LOGMEL, features)).pictures[:, 0]
    bright = original.sum(axis=-1) > 380
    assert bright[:, -2:, -2:].all()
    assert bright.sum() == 3 * 4
