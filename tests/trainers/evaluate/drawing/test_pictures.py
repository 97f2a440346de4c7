"""Pictures: what is given back, what is blank."""

import numpy as np
import pytest
import torch

from pipelines.modalities import Image
from tests.trainers.evaluate.drawing.making import partial_plan, perfect, pixels, wrong
from trainers.evaluate.drawing.patches import BLANK
from trainers.evaluate.drawing.pictures import draw_picture
from trainers.targets.patches import ColourNormalisedPatches, NormalisedPatches, PixelPatches

IMAGE = Image(size=32, patch=8)
TARGETS = (NormalisedPatches(), PixelPatches(), ColourNormalisedPatches(modality="image"))
INPUTS = pixels(3, 3, 32, 32)
EXPECTED = INPUTS.permute(0, 2, 3, 1).numpy()
of_any_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)


@of_any_target
def test_a_perfect_prediction_gives_back_the_picture(target: PixelPatches) -> None:
    drawn = draw_picture(perfect(target, IMAGE, INPUTS))
    original, _, restored = drawn.pictures.swapaxes(0, 1)
    assert np.array_equal(original, EXPECTED)
    assert np.abs(restored.astype(int) - EXPECTED).max() <= 1
    assert ("removed" in drawn.note) == (not isinstance(target, PixelPatches))


@of_any_target
def test_a_wrong_prediction_changes_hidden_patches_and_no_others(target: PixelPatches) -> None:
    prediction = wrong(perfect(target, IMAGE, INPUTS))
    original, _, imagined = (by_patch(tile) for tile in draw_picture(prediction).pictures.swapaxes(0, 1))
    differs = (original != imagined).any(axis=-1)
    assert np.array_equal(differs, prediction.hidden.numpy())


def test_hidden_patches_are_blank_in_what_was_seen() -> None:
    prediction = perfect(NormalisedPatches(), IMAGE, INPUTS)
    original, seen, _ = (by_patch(tile) for tile in draw_picture(prediction).pictures.swapaxes(0, 1))
    hidden = prediction.hidden.numpy()
    assert (seen[hidden] == BLANK).all()
    assert np.array_equal(seen[~hidden], original[~hidden])


def test_patches_that_were_neither_seen_nor_predicted_stay_blank() -> None:
    prediction = perfect(PixelPatches(), IMAGE, INPUTS, plan=partial_plan(16))
    _, seen, imagined = (by_patch(tile) for tile in draw_picture(prediction).pictures.swapaxes(0, 1))
    assert (seen != BLANK).any(axis=-1).sum() == 6
    assert (imagined != BLANK).any(axis=-1).sum() == 6 + 3 + 3 + 1


def test_pixels_beyond_black_and_white_are_cut_off() -> None:
    prediction = perfect(PixelPatches(), IMAGE, torch.full_like(INPUTS, 255))
    prediction.values.mul_(2)
    assert (draw_picture(prediction).pictures[:, 2] == 255).all()


def by_patch(pictures: np.ndarray) -> np.ndarray:
    """Return [samples, tokens, values]."""
    parts = pictures.reshape(3, 4, 8, 4, 8, 3).swapaxes(2, 3)
    return parts.reshape(3, 16, -1)
