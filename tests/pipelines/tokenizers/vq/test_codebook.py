"""Codebooks that learn: codes stay in use, gradients pass, and use is counted."""

import pytest
import torch

from pipelines.tokenizers.vq.codebook import CosineCodebook, FiniteScalars
from pipelines.tokenizers.vq.file import codebook_use


def clusters(count: int = 16, *, spread: float = 0.05) -> torch.Tensor:
    """Tokens around some directions that all lie in one corner: far from most random codes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(count, 8, generator=generator) * 0.3 + torch.tensor([3.0, *[0.0] * 7])
    return (centres + spread * torch.randn(20, count, 8, generator=generator)).reshape(20, count, 8)


@pytest.mark.parametrize(("dead_below", "alive"), [(0.1, True), (0.0, False)])
def test_codes_stay_in_use_where_dead_ones_are_put_elsewhere(dead_below: float, alive: bool) -> None:
    torch.manual_seed(0)
    quantiser = CosineCodebook(size=16, dim=8, decay=0.8, dead_below=dead_below).build(8)
    tokens = clusters()
    for _ in range(60):
        quantiser(tokens)
    used = len(quantiser.ids(tokens).unique())
    assert (used >= 12) == alive, used


def test_a_new_codebook_learns_directions_of_its_tokens() -> None:
    torch.manual_seed(0)
    quantiser = CosineCodebook(size=16, dim=8, decay=0.8, dead_below=0.1).build(8)
    tokens = clusters()
    errors = [float(quantiser(tokens).commitment.detach()) for _ in range(60)]
    assert errors[-1] < errors[0] / 2


@pytest.mark.parametrize(
    "codebook", [CosineCodebook(size=8, dim=4, decay=0.9, dead_below=0.1), FiniteScalars(levels=(3, 3))]
)
def test_the_gradient_passes_straight_through(codebook: CosineCodebook | FiniteScalars) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 5, 6, requires_grad=True)
    codebook.build(6)(tokens).vectors.square().sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad.abs().sum(dim=-1) > 0).all()


def test_ids_and_vectors_belong_together() -> None:
    for codebook in (CosineCodebook(size=8, dim=4, decay=0.9, dead_below=0.1), FiniteScalars(levels=(3, 4))):
        quantiser = codebook.build(6).eval()
        quantised = quantiser(torch.randn(2, 5, 6))
        assert torch.allclose(quantiser.vectors(quantised.ids), quantised.vectors, atol=1e-6)


def test_use_is_a_moving_share_of_tokens() -> None:
    quantiser = FiniteScalars(levels=(3, 3)).build(6)
    quantiser.note_use(torch.tensor([[0, 0, 1, 8]]))
    assert quantiser.use.tolist() == [0.5, 0.25, *[0.0] * 6, 0.25]
    quantiser.note_use(torch.tensor([[2, 2, 2, 2]]))
    assert quantiser.use.sum() == pytest.approx(1.0)
    assert quantiser.use[2] == pytest.approx(0.01)


def test_even_use_has_the_perplexity_of_its_size() -> None:
    assert codebook_use(torch.ones(40)) == pytest.approx({"codes": 40, "used": 1.0, "perplexity": 40.0})
    assert codebook_use(torch.tensor([5.0, 0, 0, 0])) == pytest.approx({"codes": 4, "used": 0.25, "perplexity": 1.0})
    assert codebook_use(torch.zeros(4))["used"] == 0.0
