"""Decoders whose heads have windows of their own: which windows, and who sees whom in which head."""

import pytest
import torch

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import LogMel
from shards.errors import SettingsError
from trainers.nn.blocks import Attention, BlockStyle
from trainers.nn.decoders import Encoded
from trainers.nn.embed import every_token
from trainers.nn.multi_window_decoder import (
    HeadOffsets,
    MultiWindowDecoder,
    MultiWindowDecoderNetwork,
    head_windows,
    offset_index,
)
from trainers.nn.positions import sincos_1d

ENCODED = Encoded(width=12, prefix=1, style=BlockStyle(), bridge_bias=True)
GRID = LogMel(frames=6, bins=2, patch=1)


def decoder(*, heads: int = 4, global_heads: int = 1, depth: int = 1) -> MultiWindowDecoderNetwork:
    torch.manual_seed(0)
    return MultiWindowDecoder(width=16, depth=depth, heads=heads, global_heads=global_heads).build(GRID, ENCODED)


def test_windows_of_the_paper_are_all_divisors_and_two_heads_see_everything() -> None:
    assert head_windows(250, heads=8, global_heads=2) == [2, 5, 10, 25, 50, 125, 250, 250]


def test_of_many_divisors_some_are_taken_evenly_and_of_few_all() -> None:
    assert head_windows(512, heads=8, global_heads=2) == [2, 8, 16, 32, 128, 256, 512, 512]
    assert head_windows(8, heads=8, global_heads=2) == [2, 4, 8, 8, 8, 8, 8, 8]


@pytest.mark.parametrize("length", [2, 13, 251])
def test_numbers_without_divisors_are_refused_with_one_that_has_some(length: int) -> None:
    with pytest.raises(SettingsError, match=f"No windows tile {length} tokens.* (\\d+) tokens can be cut") as refused:
        head_windows(length, heads=8, global_heads=2)
    advised = int(str(refused.value).rsplit(" tokens", 1)[0].rsplit(" ", 1)[1])
    assert head_windows(advised, heads=8, global_heads=2)[0] < advised


def test_there_is_at_least_one_head_with_windows() -> None:
    with pytest.raises(SettingsError, match="4 of 4 heads were to see all"):
        MultiWindowDecoder(width=16, depth=1, heads=4, global_heads=4)


def test_every_head_attends_within_its_own_windows() -> None:
    windows = head_windows(12, heads=4, global_heads=1)
    assert windows == [2, 4, 6, 12]
    bias = HeadOffsets(windows, length=12)(offset_index(windows, length=12))[0]
    place = torch.arange(12)
    for head, window in enumerate(windows):
        together = place[:, None] // window == place[None, :] // window
        assert torch.equal(bias[head].isfinite(), together)
        assert bool(bias[head][together].any()) == (window < 12)


def test_attention_equals_that_of_each_head_in_each_window_alone() -> None:
    torch.manual_seed(0)
    windows = [2, 3, 6]
    attention, offsets, tokens = Attention(12, heads=3), HeadOffsets(windows, length=6), torch.randn(2, 6, 12)
    found = attention(tokens, offsets(offset_index(windows, length=6)))
    tables = offsets.positions.split([3, 5])
    query, key, value = (part.unflatten(-1, (3, 4)) for part in attention.qkv(tokens).chunk(3, dim=-1))
    mixed = torch.zeros(2, 6, 3, 4)
    for head, window in enumerate(windows):
        for begin in range(0, 6, window):
            part = slice(begin, begin + window)
            scores = query[:, part, head] @ key[:, part, head].transpose(1, 2) / 2
            if window < 6:
                table = tables[head]
                scores = scores + torch.stack([table.flip(0)[window - 1 - row :][:window] for row in range(window)])
            mixed[:, part, head] = scores.softmax(dim=-1) @ value[:, part, head]
    torch.testing.assert_close(found, attention.projection(mixed.flatten(2)))


def test_a_token_sees_the_largest_window_of_any_head_and_no_class_token() -> None:
    network = decoder(heads=2, global_heads=0)
    encoded = torch.randn(1, 13, 12, requires_grad=True)
    index = every_token(1, length=12, device=torch.device("cpu"))
    decoded = network(encoded, MaskPlan(visible=index, target=index))[0, 8]
    (gradient,) = torch.autograd.grad(decoded.square().sum(), encoded)
    # Two heads, of windows of 3 and 6 tokens: token 8 sees those from 6 on.
    assert head_windows(12, heads=2, global_heads=0) == [3, 6]
    assert gradient[0].abs().amax(dim=-1).gt(0).tolist() == [False] * 7 + [True] * 6


def test_every_block_has_offsets_of_its_own_which_start_the_smaller_the_larger_the_window() -> None:
    network = decoder(heads=4, global_heads=1, depth=2)
    first, second = (offsets.positions for offsets in network.offsets)
    assert first.shape == (3 + 7 + 11,)
    assert not torch.equal(first, second)
    many = HeadOffsets([2] * 500 + [50] * 40, length=100).positions
    torch.testing.assert_close(many[:1500].std(), torch.tensor(0.02 / 3).sqrt(), rtol=0.1, atol=0)
    torch.testing.assert_close(many[1500:].std(), torch.tensor(0.02 / 99).sqrt(), rtol=0.1, atol=0)


def test_positions_are_those_of_the_sequence_and_are_not_stored() -> None:
    network = decoder()
    torch.testing.assert_close(network.positions(), sincos_1d(torch.arange(12.0), width=16).float())
    assert not any("table" in name or "index" in name for name in network.state_dict())
