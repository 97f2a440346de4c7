"""Sheets of tiles."""

import numpy as np
import pytest

from trainers.evaluate.drawing.prediction import Stacked, Tiles
from trainers.evaluate.drawing.sheet import GAP, SAMPLE_GAP, contact_sheet


def tiles(samples: int, count: int, height: int, width: int, stacked: Stacked = "beside") -> Tiles:
    return Tiles(pictures=np.full((samples, count, height, width, 3), 7, np.uint8), note="", stacked=stacked)


def test_sheet_holds_every_tile_and_enlarges_small_ones() -> None:
    sheet = np.asarray(contact_sheet(tiles(3, 3, 8, 8)))
    assert (sheet == 7).all(axis=-1).sum() == 9 * 96 * 96
    assert sheet.shape[:2] == (2 * 96 + GAP, 2 * (3 * 96 + 2 * GAP) + SAMPLE_GAP)


@pytest.mark.parametrize(("width", "per_row"), [(300, 2), (1024, 1), (3000, 1)])
def test_wide_tiles_stand_below_each_other_and_very_wide_samples_too(width: int, per_row: int) -> None:
    sheet = contact_sheet(tiles(4, 3, 100, width, "below"))
    rows = 4 // per_row
    assert sheet.size == (
        per_row * width + (per_row - 1) * SAMPLE_GAP,
        rows * (3 * 100 + 2 * GAP) + (rows - 1) * SAMPLE_GAP,
    )


def test_tiles_of_a_sample_stand_in_order() -> None:
    pictures = np.arange(6, dtype=np.uint8).reshape(1, 6, 1, 1, 1) * np.ones((1, 6, 96, 96, 3), np.uint8)
    beside = np.asarray(contact_sheet(Tiles(pictures=pictures.astype(np.uint8), note="")))
    below = np.asarray(contact_sheet(Tiles(pictures=pictures.astype(np.uint8), note="", stacked="below")))
    assert beside[0, :: 96 + GAP, 0].tolist() == below[:: 96 + GAP, 0, 0].tolist() == list(range(6))
