"""The pre-norm transformer block: full self-attention and a two-layer perceptron, each behind a residual."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from shards.errors import SettingsError

NORM_EPS = 1e-6


def layer_norm(width: int) -> nn.LayerNorm:
    """Return the layer norm of vision transformers, with eps 1e-6 (the default of torch is 1e-5)."""
    return nn.LayerNorm(width, eps=NORM_EPS)


class Attention(nn.Module):
    """Multi-head self-attention; the fused projection gives query, key, value, each split into heads, then channels."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"a width of {width} cannot be split into {heads} attention heads of equal width")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Let every token attend to every token of its sample."""
        query, key, value = rearrange(
            self.qkv(tokens),
            "batch tokens (three heads dim) -> three batch heads tokens dim",
            three=3,
            heads=self.heads,
        )
        mixed = scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.projection(rearrange(mixed, "batch heads tokens dim -> batch tokens (heads dim)"))
        return joined


class Perceptron(nn.Module):
    """Linear, exact GELU, linear, applied to each token alone."""

    def __init__(self, width: int, *, ratio: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, ratio * width)
        self.activation = nn.GELU()
        self.contract = nn.Linear(ratio * width, width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Transform each token."""
        transformed: Tensor = self.contract(self.activation(self.expand(tokens)))
        return transformed


class Block(nn.Module):
    """One transformer block (Dosovitskiy et al., arXiv:2010.11929, equations 2 and 3)."""

    def __init__(self, width: int, *, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attention = Attention(width, heads=heads)
        self.norm2 = layer_norm(width)
        self.perceptron = Perceptron(width, ratio=ratio)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Mix the tokens of each sample, then transform each token."""
        mixed: Tensor = tokens + self.attention(self.norm1(tokens))
        transformed: Tensor = mixed + self.perceptron(self.norm2(mixed))
        return transformed


def stack_of_blocks(width: int, *, depth: int, heads: int) -> nn.Sequential:
    """Return `depth` blocks to be run one after the other."""
    return nn.Sequential(*(Block(width, heads=heads) for _ in range(depth)))
