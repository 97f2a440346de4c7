import numpy as np
import pytest

from pipelines.masking.units import UnitPatches
from pipelines.modalities import Image
from shards.errors import SettingsError
from tests.pipelines.masking.samples import CLIP, World, hidden_in

IMAGE = Image(size=192, patch=16)
CONTEXT = World().context(range(500))


def test_squares_are_hidden_as_a_whole() -> None:
    masks = hidden_in(UnitPatches(ratio=0.6, unit=2).plan(CONTEXT, modality=IMAGE), IMAGE)
    units = masks.reshape(-1, 6, 2, 6, 2).sum(axis=(2, 4))
    assert set(np.unique(units)) == {0, 4}


@pytest.mark.parametrize(
    ("ratio", "unit", "hidden"), [(0.6, 2, 22 * 4), (0.5, 1, 72), (0.01, 4, 16), (0.99, 4, 8 * 16), (0.7, 1, 101)]
)
def test_the_number_of_hidden_units_is_rounded_up_but_one_stays_visible(ratio: float, unit: int, hidden: int) -> None:
    assert UnitPatches(ratio=ratio, unit=unit).plan(CONTEXT, modality=IMAGE).target.shape == (500, hidden)


def test_decimal_shares_are_exact() -> None:
    assert UnitPatches(ratio=0.7, unit=1).num_target(10) == 7


def test_every_unit_is_as_likely_to_be_hidden() -> None:
    masks = hidden_in(UnitPatches(ratio=0.5, unit=2).plan(World().context(range(2000)), modality=IMAGE), IMAGE)
    # Binomial with mean 1000 and standard deviation 22.
    assert abs(masks.sum(axis=0) - 1000).max() < 110


def test_units_that_do_not_tile_the_picture_or_hold_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="do not tile 'image', which has 12 x 12"):
        UnitPatches(ratio=0.6, unit=5).plan(CONTEXT, modality=IMAGE)
    with pytest.raises(SettingsError, match="two units"):
        UnitPatches(ratio=0.6, unit=12).plan(CONTEXT, modality=IMAGE)
    with pytest.raises(SettingsError, match="rows and columns"):
        UnitPatches(ratio=0.6).plan(CONTEXT, modality=CLIP)
    with pytest.raises(SettingsError, match="at least 1"):
        UnitPatches(ratio=0.6, unit=0)
