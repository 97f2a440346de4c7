"""Blocks of a student that sees a part, mixed into the levels of a teacher."""

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from shards.errors import SettingsError
from trainers.models.aligned_encoder import AlignedEncoder, AlignedEncoderNetwork, level_mixture
from trainers.nn.network import Output

IMAGE = Image(size=16, patch=4)
ARCHITECTURE = AlignedEncoder(width=24, depth=4, heads=3, drop_path=0.0)
OUTPUTS = {"low": Output(dim=5, places="visible"), "high": Output(dim=6, places="visible")}


@pytest.fixture
def network() -> AlignedEncoderNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((IMAGE,), outputs=OUTPUTS)


def pixels(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def plans_of(*visible: int) -> dict[str, MaskPlan]:
    hidden = [place for place in range(16) if place not in visible]
    return {"image": MaskPlan(visible=torch.tensor([visible] * 2), target=torch.tensor([hidden] * 2))}


def test_every_level_is_predicted_at_the_visible_tokens_in_their_order(network: AlignedEncoderNetwork) -> None:
    there, back = network({"image": pixels()}, plans_of(7, 2, 9)), network({"image": pixels()}, plans_of(9, 2, 7))
    assert {name: tuple(values.shape) for name, values in there.items()} == {"low": (2, 3, 5), "high": (2, 3, 6)}
    for name, values in there.items():
        torch.testing.assert_close(values, back[name].flip(1))


def test_hidden_pixels_reach_nothing(network: AlignedEncoderNetwork) -> None:
    changed = pixels(seed=1)
    changed[:, :, :4, :4] = pixels()[:, :, :4, :4]
    before, after = network({"image": pixels()}, plans_of(0)), network({"image": changed}, plans_of(0))
    assert all(torch.equal(before[name], after[name]) for name in OUTPUTS)


def test_there_are_no_mask_tokens_and_no_decoder(network: AlignedEncoderNetwork) -> None:
    assert {name.partition(".")[0] for name, _ in network.named_parameters()} == {"encoder", "mixture", "adaptors"}
    assert not any("mask_token" in name for name, _ in network.named_parameters())


def test_a_level_is_the_adapted_sum_of_all_blocks_by_its_shares(network: AlignedEncoderNetwork) -> None:
    with torch.no_grad():
        network.mixture.copy_(torch.tensor([[0.0, 2.0, 0.0, 0.0], [1.0, 0.0, 0.0, -1.0]]))
    plans = plans_of(3, 8)
    blocks: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _given, tokens: blocks.append(tokens[:, 1:]))
        for block in network.encoder.blocks
    ]
    found = network({"image": pixels()}, plans)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(found["low"], network.adaptors["low"](2 * blocks[1]))
    torch.testing.assert_close(found["high"], network.adaptors["high"](blocks[0] - blocks[3]))


def test_levels_start_at_the_block_as_far_from_the_end_as_they_are() -> None:
    """The rows of the last levels in the official code, `torch.eye(12) + 0.01`."""
    assert torch.equal(level_mixture(5, 12), (torch.eye(12) + 0.01)[-5:])
    assert level_mixture(3, 2).argmax(dim=1).tolist() == [0, 0, 1]


def test_encoding_ends_with_tokens_of_mean_zero_and_spread_one(network: AlignedEncoderNetwork) -> None:
    encoded = network.encode({"image": pixels()})
    assert encoded.shape == (2, 17, 24)
    torch.testing.assert_close(encoded.mean(dim=-1), torch.zeros(2, 17), atol=1e-5, rtol=0)


def test_hidden_tokens_cannot_be_asked_for() -> None:
    with pytest.raises(SettingsError, match="at the places 'target', but aligned_encoder predicts at visible"):
        ARCHITECTURE.build((IMAGE,), outputs={"low": Output(dim=5)})
