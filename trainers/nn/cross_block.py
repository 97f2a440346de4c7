"""A transformer block whose tokens see each other, and then others that stay as they are."""

from jaxtyping import Float
from torch import Tensor, nn

from trainers.nn.blocks import USUAL, Attention, BlockStyle
from trainers.nn.cross_attention import CrossAttention


class CrossBlock(nn.Module):
    """Self-attention, attention to a context, and a perceptron, each behind a norm and a residual; the context has a norm too.

    Vaswani et al., arXiv:1706.03762, section 3.1, with norms in front; Weinzaepfel et al., arXiv:2210.10716, section 3
    (CrossBlock). The fused projection to query, key and value has the biases of `style`; those of the context have all,
    or none if there is none anywhere.
    """

    def __init__(self, width: int, *, heads: int, ratio: int = 4, style: BlockStyle = USUAL) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.context_norm = (style.norm(width) for _ in range(4))
        self.attention = Attention(width, heads=heads, biases=style.biases)
        self.cross_attention = CrossAttention(width, heads=heads, bias=style.has_bias)
        self.perceptron = style.perceptron_of(width, ratio=ratio)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        context: Float[Tensor, "batch context width"],
        bias: Float[Tensor, "#batch #heads #tokens tokens"] | None = None,
        context_bias: Float[Tensor, "#batch #heads #tokens context"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Mix the tokens of each sample, let them attend to its context, then transform each token.

        `bias` is added to what the softmax of self-attention is taken of, `context_bias` to that of attention to the context.
        """
        tokens = tokens + self.attention(self.norm1(tokens), bias)
        tokens = tokens + self.cross_attention(self.norm2(tokens), self.context_norm(context), context_bias)
        transformed: Tensor = tokens + self.perceptron(self.norm3(tokens))
        return transformed
