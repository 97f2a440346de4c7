"""Blocks whose tokens also attend to a context."""

import torch
from torch import Tensor

from trainers.nn.blocks import Block
from trainers.nn.cross_block import CrossBlock

WIDTH, HEADS = 24, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(count: int, *, seed: int) -> Tensor:
    return torch.randn(2, count, WIDTH, generator=seeded(seed))


def block() -> CrossBlock:
    torch.manual_seed(0)
    return CrossBlock(WIDTH, heads=HEADS)


def test_without_what_the_context_says_it_is_the_usual_block() -> None:
    cross, usual = block(), Block(WIDTH, heads=HEADS)
    torch.nn.init.zeros_(cross.cross_attention.projection.weight)
    torch.nn.init.zeros_(cross.cross_attention.projection.bias)
    for of_usual, of_cross in (
        (usual.norm1, cross.norm1),
        (usual.attention, cross.attention),
        (usual.norm2, cross.norm3),
        (usual.perceptron, cross.perceptron),
    ):
        of_usual.load_state_dict(of_cross.state_dict())
    asking, context = tokens(5, seed=1), tokens(7, seed=2)
    assert torch.equal(cross(asking, context), usual(asking))


def test_the_order_of_the_context_does_not_matter_but_what_it_holds_does() -> None:
    cross, asking, context = block(), tokens(5, seed=1), tokens(7, seed=2)
    torch.testing.assert_close(cross(asking, context.flip(1)), cross(asking, context))
    assert not torch.allclose(cross(asking, context[:, :6]), cross(asking, context))


def test_a_context_of_one_token_gives_every_token_the_same() -> None:
    cross, context = block(), tokens(1, seed=2)
    given = cross.cross_attention(tokens(5, seed=1), context)
    torch.testing.assert_close(given, given[:, :1].expand_as(given))


def test_the_scale_of_the_context_is_normed_away() -> None:
    cross, asking, context = block(), tokens(5, seed=1), tokens(7, seed=2)
    torch.testing.assert_close(cross(asking, 8 * context), cross(asking, context), atol=1e-5, rtol=1e-5)


def test_biases_keep_tokens_from_each_other_and_from_the_context() -> None:
    cross, asking, context = block(), tokens(5, seed=1), tokens(7, seed=2)
    among, beyond = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 7)
    torch.testing.assert_close(cross(asking, context, among, beyond), cross(asking, context))
    among[..., 4], beyond[..., 5:] = -1e7, -1e7
    shown = cross(asking, context, among, beyond)
    torch.testing.assert_close(shown[:, :4], cross(asking[:, :4], context[:, :5]))
