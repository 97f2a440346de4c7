import pytest
import torch
from einops import rearrange
from torchvision.ops import StochasticDepth

from shards.errors import SettingsError
from trainers.nn.blocks import Attention, Block, BlockStyle, GatedPerceptron, run_blocks, stack_of_blocks
from trainers.nn.cross_attention import CrossAttention
from trainers.nn.initialise import damp_by_depth_, xavier_by_projection_


def test_attention_equals_the_explicit_softmax() -> None:
    torch.manual_seed(0)
    attention, tokens = Attention(12, heads=3), torch.randn(2, 5, 12)
    query, key, value = (
        rearrange(part, "b n (h d) -> b h n d", h=3) for part in attention.qkv(tokens).chunk(3, dim=-1)
    )
    weights = (query @ key.transpose(-1, -2) * 4**-0.5).softmax(dim=-1)
    expected = attention.projection(rearrange(weights @ value, "b h n d -> b n (h d)"))
    torch.testing.assert_close(attention(tokens), expected)


def test_block_does_not_know_the_order_of_tokens() -> None:
    torch.manual_seed(0)
    block, tokens = Block(12, heads=3), torch.randn(2, 5, 12)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(block(tokens)[:, order], block(tokens[:, order]))


def test_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(SettingsError, match="width of 10 cannot be split into 4"):
        Attention(10, heads=4)


def test_a_bias_of_minus_infinity_hides_a_token() -> None:
    torch.manual_seed(0)
    block, tokens = Block(12, heads=3), torch.randn(2, 4, 12)
    bias = torch.zeros(1, 3, 4, 4)
    bias[..., 3] = -torch.inf
    torch.testing.assert_close(block(tokens, bias)[:, :3], block(tokens[:, :3]))


def test_a_bias_of_zero_changes_nothing() -> None:
    torch.manual_seed(0)
    block, tokens = Block(12, heads=3), torch.randn(2, 4, 12)
    torch.testing.assert_close(block(tokens, torch.zeros(1, 3, 4, 4)), block(tokens))


def test_gains_start_where_they_are_told_and_scale_what_is_added() -> None:
    torch.manual_seed(0)
    plain = Block(12, heads=3)
    scaled = Block(12, heads=3, layer_scale=0.0)
    scaled.load_state_dict(plain.state_dict(), strict=False)
    tokens = torch.randn(2, 4, 12)
    assert torch.equal(scaled(tokens), tokens)
    for name, parameter in scaled.named_parameters():
        if name.endswith("gain"):
            parameter.data.fill_(1.0)
    torch.testing.assert_close(scaled(tokens), plain(tokens))


def test_dropped_branches_leave_a_sample_as_it_is_in_training_and_nothing_is_dropped_after() -> None:
    torch.manual_seed(0)
    block, tokens = Block(12, heads=3, drop_path=0.5), torch.randn(64, 4, 12)
    with torch.no_grad():
        block.perceptron.contract.weight.zero_()
        block.perceptron.contract.bias.zero_()
    unchanged = (block(tokens) == tokens).flatten(1).all(dim=1)
    assert 16 < unchanged.sum() < 48
    assert not (block.eval()(tokens) == tokens).flatten(1).all(dim=1).any()


def test_later_blocks_are_dropped_more_often() -> None:
    stack = stack_of_blocks(12, depth=3, heads=3, drop_path=0.2)
    rates = [[part.p for part in block.modules() if isinstance(part, StochasticDepth)] for block in stack]
    assert [[round(rate, 6) for rate in of_block] for of_block in rates] == [[], [0.1, 0.1], [0.2, 0.2]]


def test_damped_weights_are_those_of_even_ones_divided_by_the_root_of_twice_the_number_of_the_block() -> None:
    stack = stack_of_blocks(12, depth=2, heads=3)
    before = {name: parameter.clone() for name, parameter in stack.named_parameters()}
    damp_by_depth_(stack, first=3)
    for name, parameter in stack.named_parameters():
        number = 3 + int(name.split(".")[0])
        is_last = name.endswith(("attention.projection.weight", "perceptron.contract.weight"))
        torch.testing.assert_close(parameter, before[name] / ((2 * number) ** 0.5 if is_last else 1.0))


def test_all_levels_are_returned_the_last_of_which_is_what_the_stack_gives() -> None:
    torch.manual_seed(0)
    stack, tokens = stack_of_blocks(12, depth=3, heads=3), torch.randn(2, 4, 12)
    levels = run_blocks(stack, tokens)
    assert len(levels) == 3
    assert torch.equal(levels[0], stack[0](tokens))
    assert torch.equal(levels[-1], stack(tokens))


def test_a_gated_perceptron_costs_what_a_plain_one_does() -> None:
    torch.manual_seed(0)
    perceptron, tokens = GatedPerceptron(32, ratio=4), torch.randn(2, 3, 32)
    assert perceptron.gate.out_features == perceptron.expand.out_features == 85
    gate = perceptron.gate(tokens)
    expected = perceptron.contract(gate * gate.sigmoid() * perceptron.expand(tokens))
    torch.testing.assert_close(perceptron(tokens), expected)


@pytest.mark.parametrize("perceptron", ["plain", "gated"])
def test_a_block_without_biases_has_none_anywhere(perceptron: str) -> None:
    bare = Block(12, heads=3, style=BlockStyle(biases="nowhere", perceptron=perceptron))
    assert [name for name, _ in bare.named_parameters() if "bias" in name] == []
    usual = Block(12, heads=3, style=BlockStyle(biases="none", perceptron=perceptron))
    assert {"norm1.bias", "attention.projection.bias", "perceptron.contract.bias"} <= dict(
        usual.named_parameters()
    ).keys()
    assert "attention.qkv.bias" not in dict(usual.named_parameters())


def test_fused_projections_may_be_drawn_each_by_itself() -> None:
    torch.manual_seed(0)
    for layer, weight in (
        (attention := Attention(64, heads=2), attention.qkv.weight),
        (crossed := CrossAttention(64, heads=2), crossed.key_value.weight),
    ):
        xavier_by_projection_(layer)
        assert weight.abs().max().item() == pytest.approx((6 / 128) ** 0.5, abs=1e-3)
