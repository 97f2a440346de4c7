from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from pipelines.masking.plan import Masking
from pipelines.masking.random import RandomPatches, random_plan
from pipelines.modalities import Clip, Image
from shards.errors import SettingsError
from tests.pipelines.masking.samples import World, hidden_in, told

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "fn_keep_counts.safetensors")
IMAGE = Image(size=224, patch=16)


def test_the_kept_counts_are_those_of_exact_arithmetic() -> None:
    lengths, percents = GOLDEN["inputs/length"].tolist(), GOLDEN["inputs/ratio_times_100"].tolist()
    found = [
        RandomPatches(ratio=percent / 100).num_visible(length)
        for length, percent in zip(lengths, percents, strict=True)
    ]
    assert found == GOLDEN["corrected/kept_one_minus_ratio"].tolist()
    assert found != GOLDEN["outputs/kept_one_minus_ratio"].tolist()


@given(st.floats(0.01, 0.99), st.integers(2, 12), st.integers(1, 5), st.integers(0, 3))
@settings(deadline=None)
def test_visible_and_target_partition_the_tokens(ratio: float, side: int, batch: int, epoch: int) -> None:
    modality = Image(size=side, patch=1)
    plan = RandomPatches(ratio=ratio).plan(World().context(range(batch), epoch=epoch), modality=modality)
    tokens = torch.cat([plan.visible, plan.target], dim=1).sort(dim=1).values
    assert torch.equal(tokens, torch.arange(side**2).expand(batch, -1))
    assert plan.visible.shape[1] >= 1
    assert plan.target.shape[1] >= 1


def test_plans_differ_between_modalities_of_one_sample() -> None:
    masking, context = RandomPatches(ratio=0.75), World().context([0])
    plans = [masking.plan(context, modality=Image(size=224, patch=16, name=name)) for name in ("image", "depth")]
    assert not torch.equal(plans[0].visible, plans[1].visible)


def test_every_patch_is_as_likely_to_be_visible() -> None:
    visible = RandomPatches(ratio=0.75).plan(World().context(range(4000)), modality=IMAGE).visible
    counts = torch.bincount(visible.flatten(), minlength=196)
    # Binomial with mean 1000 and standard deviation 27.
    assert counts.min() > 880
    assert counts.max() < 1120


def test_a_clip_is_masked_in_space_and_time_together() -> None:
    clip = Clip(size=32, patch=8, frames=8)
    hidden = hidden_in(RandomPatches(ratio=0.5).plan(World().context(range(500)), modality=clip), clip)
    assert (hidden.sum(axis=(1, 2, 3)) == 32).all()
    agreement = (hidden[:, :-1] == hidden[:, 1:]).mean()
    assert abs(agreement - 0.5) < 0.02


def test_padding_is_neither_counted_nor_hidden() -> None:
    world = World(lengths={"image": torch.tensor([0, 1, 2, 10, 196])})
    plans = told(RandomPatches(ratio=0.75).plan(world.context(range(5)), modality=IMAGE))
    assert [(len(plan.visible), len(plan.target)) for plan in plans] == [(0, 0), (1, 0), (1, 1), (2, 8), (49, 147)]
    assert set(plans[3].visible) | set(plans[3].target) == set(range(10))


def test_visible_tokens_come_in_order_of_noise_and_ties_in_order_of_tokens() -> None:
    noise = torch.tensor([[0.3, 0.1, 0.3, 0.0, 0.9, 0.3]])
    plan = random_plan(noise, 3)
    assert plan.visible.tolist() == [[3, 1, 0]]
    assert plan.target.tolist() == [[2, 5, 4]]


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 75.0])
def test_a_ratio_that_is_no_share_is_refused(ratio: float) -> None:
    with pytest.raises(SettingsError, match="mask ratio"):
        RandomPatches(ratio=ratio)


def test_a_single_token_cannot_be_masked() -> None:
    with pytest.raises(SettingsError, match="at least two tokens"):
        RandomPatches(ratio=0.5).num_visible(1)


def test_it_is_a_masking() -> None:
    assert isinstance(RandomPatches(ratio=0.5), Masking)
