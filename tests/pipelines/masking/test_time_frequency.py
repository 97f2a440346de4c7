import pytest
import torch

from pipelines.masking.time_frequency import TimeFrequencyPatches
from pipelines.modalities import LogMel
from shards.errors import SettingsError
from tests.pipelines.masking.samples import CLIP, World, hidden_in, told

SOUND = LogMel()  # 64 times, 8 bands


@pytest.mark.parametrize(
    ("time", "frequency", "visible"),
    [(0.2, 0.2, 51 * 6), (0.75, 0.0, 16 * 8), (0.0, 0.75, 64 * 2), (0.51, 0.5, 31 * 4), (0.999, 0.999, 1)],
)
def test_visible_is_the_grid_of_what_is_left(time: float, frequency: float, visible: int) -> None:
    plan = TimeFrequencyPatches(time=time, frequency=frequency).plan(World().context(range(50)), modality=SOUND)
    assert plan.visible.shape == (50, visible)
    masks = hidden_in(plan, SOUND)
    seen_times, seen_bands = ~masks.all(axis=2), ~masks.all(axis=1)
    assert (~masks == seen_times[:, :, None] & seen_bands[:, None, :]).all()


def test_every_time_and_band_is_as_likely_to_be_hidden() -> None:
    masks = hidden_in(
        TimeFrequencyPatches(time=0.5, frequency=0.5).plan(World().context(range(2000)), modality=SOUND), SOUND
    )
    assert abs(masks.all(axis=2).sum(axis=0) - 1000).max() < 110
    assert abs(masks.all(axis=1).sum(axis=0) - 1000).max() < 110


def test_of_a_sound_that_ends_early_only_its_own_times_are_drawn() -> None:
    world = World(lengths={"logmel": torch.tensor([0, 8 * 10, 8 * 64])})
    plans = told(TimeFrequencyPatches(time=0.5).plan(world.context(range(3)), modality=SOUND))
    assert [(len(plan.visible), len(plan.target)) for plan in plans] == [(0, 0), (40, 40), (256, 256)]
    assert set(plans[1].visible) | set(plans[1].target) == set(range(80))


@pytest.mark.parametrize("wrong", [{}, {"time": 1.0}, {"frequency": -0.1, "time": 0.5}, {"time": float("nan")}])
def test_shares_that_hide_nothing_or_all_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="both have to be"):
        TimeFrequencyPatches(**wrong)


def test_a_share_too_small_for_the_grid_and_a_grid_that_is_no_plane_are_refused() -> None:
    with pytest.raises(SettingsError, match="rows and columns"):
        TimeFrequencyPatches(time=0.5).plan(World().context(), modality=CLIP)
    with pytest.raises(SettingsError, match="hide nothing"):
        TimeFrequencyPatches(time=0.5).plan(World().context(), modality=LogMel(frames=16, bins=128))
