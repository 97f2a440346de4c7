"""Tokens that ask, and tokens that are asked."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from shards.errors import SettingsError


class CrossAttention(nn.Module):
    """Multi-head attention of some tokens to others; one projection makes questions, a fused one keys and values.

    All three projections have a `bias`, or none has.
    """

    def __init__(self, width: int, *, heads: int, bias: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"a width of {width} cannot be split into {heads} attention heads of equal width")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key_value = nn.Linear(width, 2 * width, bias=bias)
        self.projection = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        asking: Float[Tensor, "batch asking width"],
        context: Float[Tensor, "batch asked width"],
        bias: Float[Tensor, "#batch #heads #asking asked"] | None = None,
    ) -> Float[Tensor, "batch asking width"]:
        """Let every asking token attend to every asked one; `bias` is added to what the softmax is taken of."""
        query = rearrange(self.query(asking), "batch token (heads dim) -> batch heads token dim", heads=self.heads)
        key, value = rearrange(
            self.key_value(context), "batch token (two heads dim) -> two batch heads token dim", two=2, heads=self.heads
        )
        mixed = scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))
        joined: Tensor = self.projection(rearrange(mixed, "batch heads token dim -> batch token (heads dim)"))
        return joined
