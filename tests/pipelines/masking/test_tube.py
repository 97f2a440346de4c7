import numpy as np
import pytest

from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip
from shards.errors import SettingsError
from tests.pipelines.masking.samples import IMAGE, World, hidden_in

CLIP = Clip(size=224, patch=16, frames=16, tubelet=2)


def test_a_patch_is_hidden_at_all_times_or_at_none() -> None:
    masks = hidden_in(TubePatches(ratio=0.9).plan(World().context(range(100)), modality=CLIP), CLIP)
    assert (masks == masks[:, :1]).all()


@pytest.mark.parametrize(("ratio", "hidden"), [(0.9, 176), (0.95, 186), (0.75, 147), (0.001, 1), (0.999, 195)])
def test_the_number_hidden_at_a_time_is_rounded_down_but_some_are_hidden_and_some_not(
    ratio: float, hidden: int
) -> None:
    plan = TubePatches(ratio=ratio).plan(World().context(range(3)), modality=CLIP)
    assert plan.target.shape == (3, hidden * 8)
    assert plan.visible.shape == (3, (196 - hidden) * 8)


def test_every_place_is_as_likely_to_be_hidden() -> None:
    masks = hidden_in(TubePatches(ratio=0.5).plan(World().context(range(2000)), modality=CLIP), CLIP)
    assert abs(masks[:, 0].sum(axis=0) - 1000).max() < 110


def test_a_picture_has_no_tubes() -> None:
    with pytest.raises(SettingsError, match="times, rows and columns"):
        TubePatches(ratio=0.9).plan(World().context(), modality=IMAGE)


def test_products_are_those_of_decimal_numbers() -> None:
    assert TubePatches(ratio=0.7).num_target(10) == 7
    assert int(np.float64(0.57) * 100) == 56
    assert TubePatches(ratio=0.57).num_target(100) == 57
