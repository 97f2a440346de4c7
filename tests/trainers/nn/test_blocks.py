import pytest
import torch
from einops import rearrange

from shards.errors import SettingsError
from trainers.nn.blocks import Attention, Block


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
