"""Histograms of gradients beside pictures and clips."""

import numpy as np
import pytest
import torch

from pipelines.inspect.glyphs import GLYPH, draw_histograms, strokes
from pipelines.modalities import Clip, Image
from pipelines.transforms.hog import hog
from pipelines.transforms.image import normalise
from tests.trainers.evaluate.drawing.making import perfect, pixels, wrong
from trainers.evaluate.drawing.clips import FRAME_GAP, draw_clip_histograms
from trainers.evaluate.drawing.histograms import draw_picture_histograms
from trainers.evaluate.drawing.patches import BLANK
from trainers.targets.hog import HogTarget

IMAGE, CLIP = Image(size=32, patch=8), Clip(size=32, patch=8, frames=6)
SIDE = 8 * GLYPH


def test_histograms_are_drawn_beside_the_picture() -> None:
    prediction = perfect(HogTarget(source="computed"), IMAGE, pixels(3, 3, 32, 32))
    drawn = draw_picture_histograms(prediction)
    assert drawn.pictures.shape == (3, 4, SIDE, SIDE, 3)
    assert np.array_equal(drawn.pictures[:, 2], drawn.pictures[:, 3])
    blank = (drawn.pictures[:, 1] == BLANK).all(axis=-1).mean()
    assert 0.5 <= blank < 0.51
    assert "histograms" in drawn.note


def test_a_prediction_is_drawn_at_hidden_patches_alone() -> None:
    prediction = wrong(perfect(HogTarget(source="computed"), IMAGE, pixels(3, 3, 32, 32)))
    wanted, imagined = draw_picture_histograms(prediction).pictures[:, 2:].swapaxes(0, 1)
    differs = (wanted != imagined).any(axis=-1).reshape(3, 4, 2 * GLYPH, 4, 2 * GLYPH).any(axis=(2, 4))
    assert np.array_equal(differs.reshape(3, 16), prediction.hidden.numpy())


def test_those_of_clips_stand_below_their_first_frames() -> None:
    prediction = perfect(HogTarget(source="computed", modality="video"), CLIP, pixels(3, 3, 6, 32, 32))
    drawn = draw_clip_histograms(prediction)
    assert drawn.pictures.shape == (3, 4, SIDE, 3 * SIDE + 2 * FRAME_GAP, 3)
    assert np.array_equal(drawn.pictures[:, 2], drawn.pictures[:, 3])
    assert drawn.stacked == "below"


@pytest.mark.parametrize("upright", [True, False])
def test_strokes_run_along_the_edges(upright: bool) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    (images[..., 14:] if upright else images[..., 14:, :]).fill_(255)
    values = hog(normalise(images), patch=16)
    histogram = values.reshape(1, 2, 2, 3, 9, 2, 2).mean(dim=3)[0, 0, 0, :, 0 if upright else 1, 1 if upright else 0]
    drawn = draw_histograms(histogram[None, None, None].numpy())[0, ..., 0].astype(float)
    down, right = np.mgrid[:GLYPH, :GLYPH] - (GLYPH - 1) / 2
    spread_down, spread_right = ((drawn * axis**2).sum() / drawn.sum() for axis in (down, right))
    assert spread_down > 2 * spread_right if upright else spread_right > 2 * spread_down


def test_every_bin_has_a_stroke_of_its_own() -> None:
    drawn = strokes(9).reshape(9, -1)
    likeness = np.corrcoef(drawn)
    assert (likeness - np.eye(9)).max() < 0.95
