from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Clip
from trainers.nn.blocks import USUAL
from trainers.nn.decoders import ChosenDecoder, Decoder, Encoded, GlobalDecoder

CLIP = Clip(size=16, patch=4, frames=4)
ENCODED = Encoded(width=12, prefix=1, style=USUAL, bridge_bias=True)
VISIBLE = 6


@pytest.fixture(params=["sincos", "separable"])
def encoded(request: pytest.FixtureRequest) -> Encoded:
    return replace(ENCODED, positions=request.param)


def plan_of_everything_hidden(batch: int = 3) -> MaskPlan:
    order = torch.rand(batch, CLIP.num_tokens, generator=torch.Generator().manual_seed(1)).argsort(dim=1)
    return MaskPlan(visible=order[:, :VISIBLE], target=order[:, VISIBLE:])


def tokens(batch: int = 3) -> Tensor:
    return torch.randn(batch, 1 + VISIBLE, 12, generator=torch.Generator().manual_seed(2))


def chosen_decoder(encoded: Encoded = ENCODED) -> Decoder:
    torch.manual_seed(0)
    return ChosenDecoder(width=16, depth=2, heads=2).build(CLIP, encoded)


def test_where_all_hidden_tokens_are_asked_for_the_two_decoders_are_one(encoded: Encoded) -> None:
    chosen = chosen_decoder(encoded)
    whole = GlobalDecoder(width=16, depth=2, heads=2).build(CLIP, encoded)
    whole.load_state_dict(chosen.state_dict())
    plan = plan_of_everything_hidden()
    torch.testing.assert_close(chosen(tokens(), plan), whole(tokens(), plan))


def test_a_hidden_token_is_seen_if_and_only_if_it_is_asked_for() -> None:
    decoder, plan = chosen_decoder(), plan_of_everything_hidden()
    half = replace(plan, target=plan.target[:, ::2])
    found = decoder(tokens(), half)
    assert found.shape == (3, half.target.shape[1], 16)
    assert not torch.allclose(found, decoder(tokens(), plan)[:, ::2])
    with torch.no_grad():  # of the places in the first sample where nobody asks
        decoder.positions.table[plan.target[0, 1::2]] += 100.0
    torch.testing.assert_close(decoder(tokens(), half)[:1], found[:1])


def test_padding_among_the_targets_changes_no_other_token() -> None:
    decoder, plan = chosen_decoder(), plan_of_everything_hidden()
    short = MaskPlan(visible=plan.visible, target=plan.target[:, :5])
    padding = torch.tensor([[False] * 5 + [True] * 4]).expand(3, -1)
    filled = torch.where(padding, 0, plan.target[:, :9])
    found = decoder(tokens(), replace(short, target=filled, target_padding=padding))
    torch.testing.assert_close(found[:, :5], decoder(tokens(), short))
    assert not torch.allclose(decoder(tokens(), replace(short, target=filled))[:, :5], found[:, :5])


def test_padding_among_the_visible_changes_no_token() -> None:
    decoder, plan = chosen_decoder(), plan_of_everything_hidden()
    fewer = MaskPlan(visible=plan.visible[:, :4], target=plan.target)
    padding = torch.tensor([[False] * 4 + [True] * 2]).expand(3, -1)
    padded = MaskPlan(visible=plan.visible, target=plan.target, visible_padding=padding)
    torch.testing.assert_close(decoder(tokens(), padded), decoder(tokens()[:, :5], fewer))


def test_samples_of_a_batch_may_be_asked_for_different_numbers_of_tokens() -> None:
    decoder, plan = chosen_decoder(), plan_of_everything_hidden(batch=2)
    padding = torch.tensor([[False] * 7, [False] * 3 + [True] * 4])
    ragged = MaskPlan(visible=plan.visible, target=torch.where(padding, 0, plan.target[:, :7]), target_padding=padding)
    alone = MaskPlan(visible=plan.visible[1:], target=plan.target[1:, :3])
    torch.testing.assert_close(decoder(tokens(2), ragged)[1:, :3], decoder(tokens(2)[1:], alone))
