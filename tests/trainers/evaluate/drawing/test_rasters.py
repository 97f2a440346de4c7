"""Rasters: numbers on a scale, classes in colours."""

from dataclasses import replace

import numpy as np
import torch

from pipelines.modalities import Raster
from tests.trainers.evaluate.drawing.making import noise, partial_plan, perfect, wrong
from trainers.evaluate.drawing.patches import BLANK
from trainers.evaluate.drawing.rasters import coloured, draw_classes, draw_normalised_numbers, draw_numbers
from trainers.targets.rasters import ClassMap, NormalisedRasterPatches, RasterPatches

DEPTH = Raster(size=16, patch=4, field="depth")
CLASSES = Raster(size=16, patch=4, field="segments", is_ids=True, classes=5)
METRES = noise(3, 1, 16, 16) * 4 + 1
IDS = (noise(3, 1, 16, 16) * 5).long()


def by_patch(pictures: np.ndarray) -> np.ndarray:
    """Return [samples, tokens, values]."""
    return pictures.reshape(3, 4, 4, 4, 4, 3).swapaxes(2, 3).reshape(3, 16, -1)


def test_a_perfect_prediction_gives_back_the_depth() -> None:
    found = draw_numbers(perfect(RasterPatches(modality="depth"), DEPTH, METRES))
    original, _, restored = found.pictures.swapaxes(0, 1)
    assert np.array_equal(original, restored)
    assert len(np.unique(original.reshape(-1, 3), axis=0)) > 100
    assert "removed" not in found.note


def test_a_perfect_prediction_of_normalised_patches_gives_back_what_was_measured() -> None:
    metres = METRES.clone()
    metres[:, :, ::3, ::2] = torch.nan
    found = draw_normalised_numbers(perfect(NormalisedRasterPatches(modality="depth"), DEPTH, metres))
    original, _, restored = found.pictures.astype(int).swapaxes(0, 1)
    assert np.abs(original - restored).max() <= 4  # one step of the scale of colours
    assert np.array_equal((original == 0).all(axis=-1), metres[:, 0].isnan().numpy())
    assert "removed" in found.note


def test_far_is_brighter_than_near_and_what_was_not_measured_is_black() -> None:
    metres = METRES.clone()
    metres[:, :, 3, 5] = torch.nan
    original = draw_numbers(perfect(RasterPatches(modality="depth"), DEPTH, metres)).pictures[:, 0].astype(int)
    assert (original[:, 3, 5] == 0).all()
    assert (original.sum(axis=-1) > 0).sum() == 3 * (256 - 1)
    for sample, values in zip(original, metres[:, 0].numpy(), strict=True):
        known = np.isfinite(values)
        assert np.corrcoef(sample.sum(axis=-1)[known], values[known])[0, 1] > 0.9


def test_a_perfect_prediction_gives_back_the_classes() -> None:
    original, _, restored = draw_classes(perfect(ClassMap(modality="segments"), CLASSES, IDS)).pictures.swapaxes(0, 1)
    assert np.array_equal(original, np.stack([coloured(sample[0]) for sample in IDS]))
    assert np.array_equal(original, restored)


def test_hidden_patches_are_blank_in_what_was_seen_and_changed_by_a_wrong_prediction() -> None:
    cases = (
        (draw_numbers, RasterPatches(modality="depth"), DEPTH, METRES),
        (draw_classes, ClassMap(modality="segments"), CLASSES, IDS),
    )
    for draw, target, raster, values in cases:
        prediction = wrong(perfect(target, raster, values))
        original, seen, imagined = (by_patch(tile) for tile in draw(prediction).pictures.swapaxes(0, 1))
        hidden = prediction.hidden.numpy()
        assert (seen[hidden] == BLANK).all()
        assert np.array_equal(seen[~hidden], original[~hidden])
        assert np.array_equal((imagined != original).any(axis=-1), hidden)


def test_patches_that_were_left_out_stay_blank() -> None:
    prediction = perfect(ClassMap(modality="segments"), CLASSES, IDS, plan=partial_plan(16))
    imagined = by_patch(draw_classes(prediction).pictures[:, 2])
    assert (imagined != BLANK).any(axis=-1).sum() == 6 + 3 + 3 + 1


def test_a_coarser_raster_is_drawn_as_coarse_as_it_is() -> None:
    coarse = replace(CLASSES, size=64, patch=16, stride=4)
    drawn = draw_classes(perfect(ClassMap(modality="segments"), coarse, IDS)).pictures
    assert np.array_equal(drawn, draw_classes(perfect(ClassMap(modality="segments"), CLASSES, IDS)).pictures)


def test_a_raster_without_any_number_is_drawn_black() -> None:
    metres = METRES.clone()
    metres[1] = torch.nan
    prediction = perfect(RasterPatches(modality="depth"), DEPTH, metres)
    assert (draw_numbers(prediction).pictures[1, 0] == 0).all()
