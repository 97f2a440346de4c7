"""Clips: a few moments of each, original, seen and imagined."""

from typing import Any

import numpy as np
import pytest

from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip
from tests.trainers.evaluate.drawing.making import perfect, pixels, wrong
from trainers.evaluate.drawing.clips import FRAME_GAP, MOMENTS, draw_clip, draw_first_frames, moments
from trainers.evaluate.drawing.patches import BLANK
from trainers.evaluate.drawing.prediction import Tiles
from trainers.targets.first_frames import NormalisedFirstFrames
from trainers.targets.patches import ColourNormalisedPatches, NormalisedPatches, PixelPatches

CLIP = Clip(size=16, patch=8, frames=12, tubelet=2)
INPUTS = pixels(3, 3, 12, 16, 16)
TARGETS = (
    ColourNormalisedPatches(),
    NormalisedPatches(modality="video"),
    PixelPatches(modality="video"),
    NormalisedFirstFrames(),
)
of_any_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)


def drawn(prediction: Any) -> Tiles:
    draw = draw_first_frames if isinstance(prediction.target, NormalisedFirstFrames) else draw_clip
    return draw(prediction)


def frames_of(rows: np.ndarray) -> np.ndarray:
    """Return the frames of film strips, [samples, moments, side, side, 3]."""
    step = CLIP.size + FRAME_GAP
    return np.stack([rows[:, :, step * place : step * place + CLIP.size] for place in range(MOMENTS)], axis=1)


@of_any_target
def test_a_perfect_prediction_gives_back_the_frames(target: Any) -> None:
    found = drawn(perfect(target, CLIP, INPUTS))
    original, _, restored = (frames_of(rows) for rows in found.pictures.swapaxes(0, 1))
    expected = INPUTS[:, :, [0, 4, 6, 10]].permute(0, 2, 3, 4, 1).numpy()
    assert np.array_equal(original, expected)
    assert np.abs(restored.astype(int) - expected).max() <= 1
    assert found.stacked == "below"
    assert ("removed" in found.note) == (not isinstance(target, PixelPatches))


@of_any_target
def test_a_wrong_prediction_changes_hidden_tubelets_and_no_others(target: Any) -> None:
    prediction = wrong(perfect(target, CLIP, INPUTS))
    original, _, imagined = (frames_of(rows) for rows in drawn(prediction).pictures.swapaxes(0, 1))
    differs = (original != imagined).any(axis=-1).reshape(3, MOMENTS, 2, 8, 2, 8).any(axis=(3, 5))
    assert np.array_equal(differs, prediction.hidden.reshape(3, 6, 2, 2)[:, moments(6)].numpy())


def test_hidden_tubes_are_blank_in_all_frames_that_were_seen() -> None:
    prediction = perfect(ColourNormalisedPatches(), CLIP, INPUTS, masking=TubePatches(ratio=0.75))
    seen = frames_of(drawn(prediction).pictures[:, 1])
    blank = (seen == BLANK).all(axis=-1).reshape(3, MOMENTS, 2, 8, 2, 8).all(axis=(3, 5))
    assert (blank.sum(axis=(2, 3)) == 3).all()
    assert (blank == blank[:, :1]).all()


def test_the_first_and_the_last_tubelet_are_among_the_moments() -> None:
    assert moments(8).tolist() == [0, 2, 5, 7]
    assert moments(3).tolist() == [0, 1, 2]
    assert moments(1).tolist() == [0]
