import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.nn.gather import gather_tokens, scatter_tokens


@st.composite
def tokens_and_index(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    chosen = draw(st.integers(0, length))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    index = torch.rand(batch, length, generator=generator).argsort(dim=1)[:, :chosen]
    return torch.rand(batch, length, 2, generator=generator), index


@given(tokens_and_index())
def test_gather_takes_tokens_in_the_order_of_the_index(case: tuple[Tensor, Tensor]) -> None:
    tokens, index = case
    for row, places in enumerate(index.tolist()):
        assert torch.equal(gather_tokens(tokens, index)[row], tokens[row, places])


@given(tokens_and_index())
def test_scattered_tokens_stand_at_their_places_and_filler_everywhere_else(case: tuple[Tensor, Tensor]) -> None:
    tokens, index = case
    length = tokens.shape[1]
    filler = torch.full((1, 1, 2), -1.0)
    placed = scatter_tokens(gather_tokens(tokens, index), index, filler=filler, length=length)
    assert torch.equal(gather_tokens(placed, index), gather_tokens(tokens, index))
    assert int((placed == -1.0).all(dim=-1).sum()) == index.shape[0] * (length - index.shape[1])


def test_gradient_reaches_the_filler_once_for_each_empty_place() -> None:
    filler = torch.zeros(1, 1, 2, requires_grad=True)
    placed = scatter_tokens(torch.ones(2, 1, 2), torch.tensor([[0], [3]]), filler=filler, length=4)
    (gradient,) = torch.autograd.grad(placed.sum(), filler)
    assert torch.equal(gradient, torch.full((1, 1, 2), 6.0))
