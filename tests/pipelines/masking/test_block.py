import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.masking.block import BlockPatches
from pipelines.masking.plan import Masking, MaskPlan
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from shards.errors import SettingsError

IMAGE = Image(size=224, patch=16)
KEYS = [f"sample-{number}" for number in range(200)]


def hidden(plan: MaskPlan, *, side: int) -> np.ndarray:
    masks = np.zeros((len(plan.target), side**2), dtype=bool)
    np.put_along_axis(masks, plan.target.numpy(), True, axis=1)
    return masks.reshape(-1, side, side)


def share_of_hidden_neighbours(masks: np.ndarray) -> float:
    right = (masks[:, :, 1:] & masks[:, :, :-1]).sum()
    return float(right / masks[:, :, :-1].sum())


def test_forty_per_cent_of_196_patches_are_78_in_every_sample() -> None:
    plan = BlockPatches(ratio=0.4).plan(KEYS, modality=IMAGE, seed=1, epoch=0)
    assert plan.target.shape == (200, 78)
    assert (hidden(plan, side=14).sum(axis=(1, 2)) == 78).all()


@given(st.floats(0.01, 0.99), st.integers(2, 16), st.floats(0, 1), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_visible_and_target_partition_the_tokens(ratio: float, side: int, smallest: float, epoch: int) -> None:
    masking = BlockPatches(ratio=ratio, smallest=smallest)
    plan = masking.plan(KEYS[:7], modality=Image(size=side, patch=1), seed=1, epoch=epoch)
    tokens = torch.cat([plan.visible, plan.target], dim=1).sort(dim=1).values
    assert torch.equal(tokens, torch.arange(side**2).expand(7, -1))
    assert plan.target.shape[1] == masking.num_target(side**2)
    assert 1 <= plan.target.shape[1] < side**2


def test_neighbours_are_hidden_together() -> None:
    blocks = BlockPatches(ratio=0.4).plan(KEYS, modality=IMAGE, seed=1, epoch=0)
    scattered = RandomPatches(ratio=0.6).plan(KEYS, modality=IMAGE, seed=1, epoch=0)
    assert share_of_hidden_neighbours(hidden(blocks, side=14)) > 0.75
    assert share_of_hidden_neighbours(hidden(scattered, side=14)) < 0.65


def test_few_patches_are_drawn_one_by_one() -> None:
    masking = BlockPatches(ratio=0.4)
    plan = masking.plan(KEYS, modality=IMAGE, seed=1, epoch=0)
    masks = np.pad(hidden(plan, side=14), ((0, 0), (1, 1), (1, 1)))
    around = masks[:, :-2, 1:-1] | masks[:, 2:, 1:-1] | masks[:, 1:-1, :-2] | masks[:, 1:-1, 2:]
    lonely = (masks[:, 1:-1, 1:-1] & ~around).sum(axis=(1, 2))
    assert lonely.mean() < 2


def test_the_plan_of_a_sample_does_not_depend_on_its_neighbours() -> None:
    masking = BlockPatches(ratio=0.4)
    together = masking.plan(KEYS, modality=IMAGE, seed=1, epoch=2)
    alone = masking.plan(KEYS[137:138], modality=IMAGE, seed=1, epoch=2)
    assert torch.equal(together.target[137], alone.target[0])


def test_plans_differ_between_samples_epochs_and_seeds() -> None:
    masking = BlockPatches(ratio=0.4)
    plans = [
        masking.plan([key], modality=IMAGE, seed=seed, epoch=epoch)
        for key, seed, epoch in [("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 1)]
    ]
    assert len({tuple(plan.target[0].tolist()) for plan in plans}) == 4


@pytest.mark.parametrize(
    "wrong", [{"ratio": 1.0}, {"ratio": 0.4, "smallest": 2.0}, {"ratio": 0.4, "aspect": (2.0, 1.0)}]
)
def test_impossible_blocks_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        BlockPatches(**wrong)  # type: ignore[arg-type]


def test_it_is_a_masking() -> None:
    assert isinstance(BlockPatches(ratio=0.4), Masking)
