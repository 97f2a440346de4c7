import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.masking.block import BlockPatches
from pipelines.masking.plan import Masking
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Clip, Image, LogMel
from shards.errors import SettingsError
from tests.pipelines.masking.samples import TEXT, World, hidden_in

IMAGE = Image(size=224, patch=16)
CONTEXT = World().context(range(200))


def share_of_hidden_neighbours(masks: np.ndarray) -> float:
    right = (masks[:, :, 1:] & masks[:, :, :-1]).sum()
    return float(right / masks[:, :, :-1].sum())


def test_forty_per_cent_of_196_patches_are_78_in_every_sample() -> None:
    plan = BlockPatches(ratio=0.4).plan(CONTEXT, modality=IMAGE)
    assert plan.target.shape == (200, 78)
    assert (hidden_in(plan, IMAGE).sum(axis=(1, 2)) == 78).all()


@given(st.floats(0.01, 0.99), st.integers(2, 16), st.floats(0, 1), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_visible_and_target_partition_the_tokens(ratio: float, side: int, smallest: float, epoch: int) -> None:
    masking = BlockPatches(ratio=ratio, smallest=smallest)
    plan = masking.plan(World().context(range(7), epoch=epoch), modality=Image(size=side, patch=1))
    tokens = torch.cat([plan.visible, plan.target], dim=1).sort(dim=1).values
    assert torch.equal(tokens, torch.arange(side**2).expand(7, -1))
    assert plan.target.shape[1] == masking.num_target(side**2)
    assert 1 <= plan.target.shape[1] < side**2


def test_neighbours_are_hidden_together() -> None:
    blocks = BlockPatches(ratio=0.4).plan(CONTEXT, modality=IMAGE)
    scattered = RandomPatches(ratio=0.6).plan(CONTEXT, modality=IMAGE)
    assert share_of_hidden_neighbours(hidden_in(blocks, IMAGE)) > 0.75
    assert share_of_hidden_neighbours(hidden_in(scattered, IMAGE)) < 0.65


def test_few_patches_are_drawn_one_by_one() -> None:
    masking = BlockPatches(ratio=0.4)
    plan = masking.plan(CONTEXT, modality=IMAGE)
    masks = np.pad(hidden_in(plan, IMAGE), ((0, 0), (1, 1), (1, 1)))
    around = masks[:, :-2, 1:-1] | masks[:, 2:, 1:-1] | masks[:, 1:-1, :-2] | masks[:, 1:-1, 2:]
    lonely = (masks[:, 1:-1, 1:-1] & ~around).sum(axis=(1, 2))
    assert lonely.mean() < 2


def test_cubes_hide_neighbours_in_time_together_and_fill_the_share_exactly() -> None:
    clip = Clip(size=224, patch=16)
    masks = hidden_in(BlockPatches(ratio=0.4).plan(CONTEXT, modality=clip), clip)
    assert (masks.sum(axis=(1, 2, 3)) == 627).all()
    later = (masks[:, 1:] & masks[:, :-1]).sum() / masks[:, :-1].sum()
    right = (masks[..., 1:] & masks[..., :-1]).sum() / masks[..., :-1].sum()
    assert later > 0.7
    assert right > 0.75
    assert masks.any(axis=(2, 3)).mean() > 0.9  # hidden are patches of most times,
    assert masks.all(axis=1).mean() < 0.2  # but few of them at all times: it is no tube.


def test_sound_is_masked_in_blocks_like_a_picture() -> None:
    masks = hidden_in(BlockPatches(ratio=0.4).plan(CONTEXT, modality=LogMel(frames=256)), LogMel(frames=256))
    assert masks.shape == (200, 16, 8)
    assert share_of_hidden_neighbours(masks) > 0.65


def test_a_row_of_tokens_has_no_blocks() -> None:
    with pytest.raises(SettingsError, match=r"rows and columns.*'text' has a grid of \(24,\)"):
        BlockPatches(ratio=0.4).plan(CONTEXT, modality=TEXT)


@pytest.mark.parametrize(
    "wrong", [{"ratio": 1.0}, {"ratio": 0.4, "smallest": 2.0}, {"ratio": 0.4, "aspect": (2.0, 1.0)}]
)
def test_impossible_blocks_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        BlockPatches(**wrong)  # type: ignore[arg-type]


def test_it_is_a_masking() -> None:
    assert isinstance(BlockPatches(ratio=0.4), Masking)
