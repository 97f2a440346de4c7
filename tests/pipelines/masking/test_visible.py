"""Nothing is hidden of what is only looked at, and nothing of it is asked for."""

import pytest
import torch

from pipelines.masking.visible import Visible
from pipelines.modalities import Modality
from tests.pipelines.masking.samples import CLIP, IMAGE, LOGMEL, NUM_SAMPLES, TEXT, full_world, ragged_world, told

FULL, RAGGED = full_world(), ragged_world()


@pytest.mark.parametrize("modality", [IMAGE, CLIP, LOGMEL, TEXT], ids=lambda modality: modality.name)
def test_all_real_tokens_are_visible_in_order_and_none_is_predicted(modality: Modality) -> None:
    context = RAGGED.context()
    plans = told(Visible().plan(context, modality=modality))
    for plan, num_real in zip(plans, context.num_real(modality), strict=True):
        assert list(plan.visible) == list(range(num_real))
        assert list(plan.target) == []


def test_padding_is_marked_at_the_end_only_where_samples_differ_in_length() -> None:
    whole = Visible().plan(FULL.context(), modality=IMAGE)
    assert whole.visible_padding is None
    assert whole.target_padding is None
    assert whole.target.shape == (NUM_SAMPLES, 0)
    ragged = Visible().plan(RAGGED.context(), modality=TEXT)
    assert ragged.visible_padding is not None
    assert ragged.target_padding is None
    assert torch.equal(ragged.visible_padding, ragged.visible_padding.cummax(dim=1).values)
    assert not ragged.visible[ragged.visible_padding].any()


def test_it_is_the_same_in_every_epoch_for_every_seed_and_beside_any_neighbour() -> None:
    shown = told(Visible().plan(RAGGED.context(), modality=LOGMEL))
    other = told(Visible().plan(RAGGED.context(epoch=3, seed=9), modality=LOGMEL))
    assert shown == other
    assert told(Visible().plan(RAGGED.context([5]), modality=LOGMEL)) == [shown[5]]


def test_an_empty_batch_has_an_empty_plan() -> None:
    plan = Visible().plan(FULL.context([]), modality=IMAGE)
    assert plan.visible.shape[0] == plan.target.shape[0] == 0
