import numpy as np
import pytest
import torch

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.random import RandomPatches
from pipelines.masking.ranking import divided_plan
from pipelines.masking.spans import Sentinels, SentinelSpans
from pipelines.masking.target_share import RandomTargets, RunningCellTargets
from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip, Modality
from shards.errors import SettingsError
from tests.pipelines.masking.samples import IMAGE, TEXT, World, full_world, hidden_in, told

CLIP = Clip(size=224, patch=16)
CONTEXT = World().context(range(200))


def test_a_random_share_of_the_hidden_tokens_is_kept_and_what_is_visible_stays() -> None:
    inner = RandomPatches(ratio=0.75)
    whole = inner.plan(CONTEXT, modality=IMAGE)
    plan = RandomTargets(masking=inner, kept=0.4).plan(CONTEXT, modality=IMAGE)
    assert torch.equal(plan.visible, whole.visible)
    assert plan.target.shape == (200, 10)  # floor(27 * 0.4)
    for mine, all_hidden in zip(told(plan), told(whole), strict=True):
        assert set(mine.target) < set(all_hidden.target)
    assert len({mine.target for mine in told(plan)}) == 200


def test_a_running_cell_meets_the_stated_share_of_every_cell_and_moves_on() -> None:
    masking = RunningCellTargets(masking=RandomPatches(ratio=0.999), kept=0.5)
    masks = hidden_in_padded(masking, CLIP)
    cells = masks.reshape(-1, 8, 7, 2, 7, 2)
    per_cell = cells.sum(axis=(3, 5))
    assert per_cell.max() == 2
    assert per_cell.mean() > 1.99
    assert not (masks[:, 1:] & masks[:, :-1] & masks[:, 2:3]).all()
    over_time = masks[:, :4].sum(axis=1)
    assert over_time.max() == 2  # in four times each place is met twice


@pytest.mark.parametrize(
    ("kept", "unit"), [(0.5, [0, 0, 1, 1]), (0.25, [0, 0, 0, 1]), (0.3, [0, 0, 1, 1]), (1.0, [1] * 4)]
)
def test_the_cells_run_as_those_of_the_published_code(kept: float, unit: list[int]) -> None:
    # There a queue of hidden, then kept places is turned by one place at every time, from any of four starts, and tiled.
    turned = [[np.roll(unit, -start - time).reshape(2, 2) for time in range(8)] for start in range(4)]
    theirs = {np.array([np.tile(cell, (7, 7)) for cell in cells], dtype=bool).tobytes() for cells in turned}
    masking = RunningCellTargets(masking=EverythingButTheFirst(), kept=kept)
    masks = hidden_in_padded(masking, CLIP)
    masks[:, 0, 0, 0] = masks[:, 4, 0, 0]
    assert {mask.tobytes() for mask in masks} == theirs


class EverythingButTheFirst:
    """Hides all tokens but one, so that what is left of the target is the pattern of the cells."""

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        return divided_plan(
            np.tile(np.arange(modality.num_tokens) > 0, (len(context.draws), 1)), num_real=context.num_real(modality)
        )


def hidden_in_padded(masking: RunningCellTargets, clip: Clip) -> np.ndarray:
    masks = np.zeros((200, clip.num_tokens), dtype=bool)
    for row, plan in enumerate(told(masking.plan(CONTEXT, modality=clip))):
        masks[row, list(plan.target)] = True
    return masks.reshape(-1, *clip.grid)


def test_behind_tubes_all_samples_keep_as_many_targets() -> None:
    plan = RunningCellTargets(masking=TubePatches(ratio=0.9), kept=0.5).plan(CONTEXT, modality=CLIP)
    assert plan.target_padding is None
    assert plan.target.shape == (200, 176 * 8 // 2)
    assert plan.visible.shape == (200, 20 * 8)
    assert hidden_in(plan, CLIP).any(axis=(0, 1)).all()


def test_ids_go_with_their_places() -> None:
    inner = SentinelSpans(sentinels=Sentinels(first=1, count=5), ratio=0.5)
    context = full_world().context()
    whole = told(inner.plan(context, modality=TEXT))
    for mine, all_hidden in zip(told(RandomTargets(masking=inner).plan(context, modality=TEXT)), whole, strict=True):
        assert mine.target_ids is not None
        assert all_hidden.target_ids is not None
        pairs = set(zip(all_hidden.target, all_hidden.target_ids, strict=True))
        assert set(zip(mine.target, mine.target_ids, strict=True)) < pairs


@pytest.mark.parametrize("wrapper", [RandomTargets, RunningCellTargets])
@pytest.mark.parametrize("kept", [0.0, -0.5, 1.5])
def test_a_share_that_predicts_nothing_is_refused(wrapper: type[RandomTargets], kept: float) -> None:
    with pytest.raises(SettingsError, match="predict"):
        wrapper(masking=RandomPatches(ratio=0.5), kept=kept)


def test_a_picture_has_no_running_cells() -> None:
    with pytest.raises(SettingsError, match="times, rows and columns"):
        RunningCellTargets(masking=RandomPatches(ratio=0.5)).plan(CONTEXT, modality=IMAGE)
