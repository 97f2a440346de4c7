"""Initial values of weights; each function works in place on a module and all its children."""

from torch import nn

TOKEN_STD = 0.02


def xavier_(module: nn.Module) -> None:
    """Xavier-uniform linear weights, zero biases, unit norms; a fused projection counts as one matrix."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
        _plain_bias_and_norm_(child)


def truncated_normal_(module: nn.Module) -> None:
    """Linear weights from a normal of standard deviation 0.02 cut at two units, zero biases, unit norms."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.trunc_normal_(child.weight, std=TOKEN_STD)
        _plain_bias_and_norm_(child)


def _plain_bias_and_norm_(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
