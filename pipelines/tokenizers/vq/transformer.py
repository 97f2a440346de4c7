"""The transformer blocks of encoders and decoders, from torch."""

from torch import nn

from shards.errors import SettingsError

WEIGHT_STD = 0.02


def mixing_blocks(width: int, *, depth: int, heads: int) -> nn.Sequential:
    """Return `depth` blocks with the norm in front (Dosovitskiy et al., arXiv:2010.11929, equations 2 and 3), no dropout.

    Raises:
        SettingsError: The heads do not divide the width.
    """
    if width % heads:
        raise SettingsError(f"A width of {width} cannot be split into {heads} attention heads of equal width.")
    return nn.Sequential(
        *(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
    )


def initialise_(module: nn.Module) -> None:
    """Give all linear weights a truncated normal of standard deviation 0.02, and biases zero."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.trunc_normal_(child.weight, std=WEIGHT_STD)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        if isinstance(child, nn.MultiheadAttention):
            nn.init.trunc_normal_(child.in_proj_weight, std=WEIGHT_STD)
            nn.init.zeros_(child.in_proj_bias)
