"""Initial values of weights; each function works in place on a module and all its children."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from trainers.nn.blocks import Attention, Block
from trainers.nn.cross_attention import CrossAttention

TOKEN_STD = 0.02


def xavier_(module: nn.Module) -> None:
    """Xavier-uniform linear weights, zero biases, unit norms; a fused projection counts as one matrix."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
        _plain_bias_and_norm_(child)


def xavier_by_projection_(module: nn.Module) -> None:
    """Xavier-uniform weights for each of query, key and value by itself, where they are fused."""
    for child in module.modules():
        projections: tuple[Tensor, ...] = ()
        if isinstance(child, Attention):
            projections = child.qkv.weight.detach().chunk(3)
        elif isinstance(child, CrossAttention):
            projections = child.key_value.weight.detach().chunk(2)
        for projection in projections:
            nn.init.xavier_uniform_(projection)


def truncated_normal_(module: nn.Module) -> None:
    """Linear weights from a normal of standard deviation 0.02 cut at two units, zero biases, unit norms."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.trunc_normal_(child.weight, std=TOKEN_STD)
        _plain_bias_and_norm_(child)


@torch.no_grad()
def damp_by_depth_(blocks: Iterable[nn.Module], *, first: int = 1) -> None:
    """Divide the last linear weights of both branches of the n-th block by sqrt(2 n), counted from `first`.

    Keeps the variance of a deep stack where it was (Bao et al., arXiv:2106.08254, section 2.6).
    """
    for number, block in enumerate(blocks, start=first):
        assert isinstance(block, Block)
        for linear in (block.attention.projection, block.perceptron.contract):
            linear.weight.div_((2.0 * number) ** 0.5)


def _plain_bias_and_norm_(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
        nn.init.ones_(module.weight)
