"""The class token of the last block, early patches, and one linear layer for two predictions."""

import dataclasses
import re

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from shards.errors import SettingsError
from trainers.models.class_bottleneck import ClassBottleneck, ClassBottleneckNetwork
from trainers.nn.network import Output

IMAGE = Image(size=16, patch=4)
ARCHITECTURE = ClassBottleneck(
    width=24,
    depth=4,
    heads=3,
    layer_scale=0.1,
    drop_path=0.0,
    late=2,
    head_depth=2,
    direct="tokens",
    through_class="summary",
)
OUTPUTS = {"tokens": Output(dim=7), "summary": Output(dim=7)}


@pytest.fixture
def network() -> ClassBottleneckNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((IMAGE,), outputs=OUTPUTS)


def pixels(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def levels_of(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 17, 24, generator=generator) for _ in range(4)]


@torch.no_grad()
def reaches(network: ClassBottleneckNetwork, level: int, tokens: slice) -> bool:
    """Tell whether a change of some tokens of a level changes what the head says of patches."""
    levels, changed = levels_of(0), levels_of(0)
    changed[level][:, tokens] = levels_of(1)[level][:, tokens]
    return not torch.equal(network.through_class(levels)[:, 1:], network.through_class(changed)[:, 1:])


def test_the_head_sees_the_last_class_token_and_early_patches_and_nothing_else(network: ClassBottleneckNetwork) -> None:
    class_token, patches = slice(0, 1), slice(1, None)
    assert [reaches(network, level, class_token) for level in range(4)] == [False, False, False, True]
    assert [reaches(network, level, patches) for level in range(4)] == [False, True, False, False]


def test_both_are_predicted_at_the_target_tokens_in_their_order(network: ClassBottleneckNetwork) -> None:
    plan = MaskPlan(visible=torch.tensor([[0, 1, 2]] * 2), target=torch.tensor([[9, 5]] * 2))
    turned = MaskPlan(visible=plan.visible, target=plan.target.flip(1))
    there, back = (network({"image": pixels()}, {"image": one}) for one in (plan, turned))
    assert {name: tuple(values.shape) for name, values in there.items()} == {"tokens": (2, 2, 7), "summary": (2, 2, 7)}
    for name, values in there.items():
        torch.testing.assert_close(values, back[name].flip(1))


def test_one_norm_and_one_linear_layer_serve_both(network: ClassBottleneckNetwork) -> None:
    plans = {"image": MaskPlan(visible=torch.tensor([[0, 1, 2]] * 2), target=torch.tensor([[9, 5]] * 2))}
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(7.0))
    for values in network({"image": pixels()}, plans).values():
        assert torch.equal(values, torch.arange(7.0).expand(2, 2, 7))


def test_hidden_pixels_reach_neither_prediction(network: ClassBottleneckNetwork) -> None:
    plans = {"image": MaskPlan(visible=torch.tensor([[0]] * 2), target=torch.arange(1, 16).repeat(2, 1))}
    changed = pixels(seed=1)
    changed[:, :, :4, :4] = pixels()[:, :, :4, :4]
    before, after = network({"image": pixels()}, plans), network({"image": changed}, plans)
    assert all(torch.equal(before[name], after[name]) for name in OUTPUTS)


def test_the_pooled_vector_is_the_class_token(network: ClassBottleneckNetwork) -> None:
    encoded = network.encode({"image": pixels()})
    assert encoded.shape == (2, 17, 24)
    assert torch.equal(network.pool(encoded), encoded[:, 0])


@pytest.mark.parametrize(
    ("changes", "outputs", "message"),
    [
        ({}, {"tokens": Output(dim=7)}, "predicts 'tokens' and 'summary' by one linear layer"),
        (
            {},
            {"tokens": Output(dim=7), "summary": Output(dim=8)},
            "the targets are tokens of 7 values, summary of 8 values",
        ),
        ({}, {"tokens": Output(dim=7), "other": Output(dim=7)}, "other of 7 values"),
        ({"late": 4}, OUTPUTS, "set model.late to at least 0 and less than model.depth"),
        ({}, OUTPUTS | {"summary": Output(dim=7, places="visible")}, "class_bottleneck predicts at target"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, int], outputs: dict[str, Output], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        dataclasses.replace(ARCHITECTURE, **changes).build((IMAGE,), outputs=outputs)  # type: ignore[arg-type]
