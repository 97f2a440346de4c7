"""Ids of stored tokens as squares."""

import numpy as np
import pytest

from pipelines.modalities import Tokens
from tests.trainers.evaluate.drawing.making import noise, perfect
from trainers.evaluate.drawing.ids import SIDE, draw_ids, plane
from trainers.evaluate.drawing.patches import BLANK
from trainers.evaluate.drawing.rasters import coloured
from trainers.targets.tokens import ShownTokens

TOKENS = Tokens(stored="tokens", grid=(3, 4), vocabulary=20)
IDS = (noise(3, 12) * 20).long()


def by_token(pictures: np.ndarray) -> np.ndarray:
    """Return [samples, tokens, values]."""
    return pictures.reshape(3, 3, SIDE, 4, SIDE, 3).swapaxes(2, 3).reshape(3, 12, -1)


def test_a_perfect_prediction_gives_back_the_ids() -> None:
    prediction = perfect(ShownTokens(name="ids", modality="tokens"), TOKENS, IDS)
    original, seen, restored = (by_token(tile) for tile in draw_ids(prediction).pictures.swapaxes(0, 1))
    assert np.array_equal(original[:, :, :3], coloured(IDS))
    assert np.array_equal(original, restored)
    hidden = prediction.hidden.numpy()
    assert (seen[hidden] == BLANK).all()
    assert np.array_equal(seen[~hidden], original[~hidden])


@pytest.mark.parametrize(
    ("grid", "shown"), [((3, 4), (3, 4)), ((2, 3, 4), (2, 12)), ((16,), (4, 4)), ((12,), (3, 4)), ((7,), (1, 7))]
)
def test_tokens_of_any_grid_have_rows_and_columns(grid: tuple[int, ...], shown: tuple[int, int]) -> None:
    assert plane(grid) == shown
