"""Two streams that look at each other."""

import torch
from torch import Tensor

from trainers.nn.blocks import USUAL
from trainers.nn.co_attention import CoAttentionBlock, Stream

WIDTH = 12


def tokens(count: int, *, seed: int) -> Tensor:
    return torch.randn(2, count, WIDTH, generator=torch.Generator().manual_seed(seed))


def block() -> CoAttentionBlock:
    torch.manual_seed(0)
    return CoAttentionBlock(WIDTH, heads=3, style=USUAL)


def test_each_stream_sees_the_other_as_it_was_before_the_block() -> None:
    meeting, first, second = block(), Stream(tokens(5, seed=1), None), Stream(tokens(4, seed=2), None)
    of_first, of_second = meeting(first, second)
    assert torch.equal(of_first.tokens, meeting.first(first.tokens, second.tokens))
    assert torch.equal(of_second.tokens, meeting.second(second.tokens, first.tokens))


def test_padding_of_either_stream_is_seen_by_neither() -> None:
    meeting, first, second = block(), tokens(5, seed=1), tokens(4, seed=2)
    padding = torch.tensor([[False, False, True, True], [False, False, False, False]])
    changed = second.clone()
    changed[0, 2:] = 9.0
    there, back = meeting(Stream(first, None), Stream(second, padding))
    other_there, other_back = meeting(Stream(first, None), Stream(changed, padding))
    assert torch.equal(there.tokens, other_there.tokens)
    assert torch.equal(back.tokens[0, :2], other_back.tokens[0, :2])
    shown = meeting(Stream(first, None), Stream(changed, None))[0].tokens
    assert not torch.allclose(shown[0], there.tokens[0])


def test_rolled_streams_move_tokens_and_padding_together() -> None:
    padding = torch.tensor([[False, True], [False, False]])
    stream = Stream(tokens(2, seed=1), padding)
    rolled = stream.rolled()
    assert torch.equal(rolled.tokens[1], stream.tokens[0])
    assert rolled.padding is not None
    assert rolled.padding.tolist() == [[False, False], [False, True]]
    assert Stream(stream.tokens, None).rolled().padding is None
