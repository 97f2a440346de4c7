import numpy as np
import pytest

from pipelines.masking.block import BlockPatches
from pipelines.masking.in_units import InUnits
from pipelines.masking.random import RandomPatches
from pipelines.masking.target_share import RandomTargets
from pipelines.masking.tube import TubePatches
from pipelines.masking.units import UnitPatches
from pipelines.modalities import Clip, Image
from shards.errors import SettingsError
from tests.pipelines.masking.samples import LOGMEL, World, hidden_in

CONTEXT = World().context(range(200))
CLIP = Clip(size=224, patch=16)
IMAGE = Image(size=192, patch=16)


def test_cubes_are_hidden_as_a_whole_and_are_those_of_the_coarser_clip() -> None:
    blocks = BlockPatches(ratio=0.4)
    masks = hidden_in(InUnits(masking=blocks, unit=2).plan(CONTEXT, modality=CLIP), CLIP)
    units = masks.reshape(-1, 8, 7, 2, 7, 2).sum(axis=(3, 5))
    assert set(np.unique(units)) == {0, 4}
    coarse = Clip(size=224, patch=32)
    assert np.array_equal(units == 4, hidden_in(blocks.plan(CONTEXT, modality=coarse), coarse))
    assert (masks.sum(axis=(1, 2, 3)) == 157 * 4).all()


def test_random_patches_in_units_hide_as_much_as_units_do() -> None:
    found = InUnits(masking=RandomPatches(ratio=0.5), unit=2).plan(CONTEXT, modality=IMAGE)
    assert found.target.shape == UnitPatches(ratio=0.5, unit=2).plan(CONTEXT, modality=IMAGE).target.shape
    assert set(np.unique(hidden_in(found, IMAGE).reshape(-1, 6, 2, 6, 2).sum(axis=(2, 4)))) == {0, 4}


def test_what_is_neither_seen_nor_predicted_stays_so() -> None:
    plan = InUnits(masking=RandomTargets(masking=TubePatches(ratio=0.5), kept=0.5)).plan(CONTEXT, modality=CLIP)
    assert plan.visible.shape[1] == 4 * 25 * 8
    assert plan.target.shape[1] == 4 * 24 * 8 // 2


def test_units_that_do_not_tile_and_modalities_without_rows_are_refused() -> None:
    with pytest.raises(SettingsError, match="do not tile 'video', which has 14 patches"):
        InUnits(masking=BlockPatches(ratio=0.4), unit=4).plan(CONTEXT, modality=CLIP)
    with pytest.raises(SettingsError, match="'logmel' is a LogMel"):
        InUnits(masking=BlockPatches(ratio=0.4)).plan(CONTEXT, modality=LOGMEL)
    with pytest.raises(SettingsError, match="at least 1"):
        InUnits(masking=BlockPatches(ratio=0.4), unit=0)
