"""The pre-norm transformer block: full self-attention and a two-layer perceptron, each behind a residual."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu
from torchvision.ops import StochasticDepth

from shards.errors import SettingsError

NORM_EPS = 1e-6

Biases = Literal["all", "query and value", "none", "nowhere"]
"""Which of query, key and value are projected with a bias. That of the key changes nothing that attention gives. With
"nowhere", no other layer of a block has one either, norms included."""


@dataclass(frozen=True, kw_only=True)
class BlockStyle:
    """In what the blocks of published transformers differ.

    Args:
        biases: Which of query, key and value have one.
        norm_eps: Added to the variance in layer norms.
        gelu: "exact", by the error function, or its approximation by "tanh".
        perceptron: "plain", with a GELU, or "gated".
    """

    biases: Biases = "all"
    norm_eps: float = NORM_EPS
    gelu: Literal["exact", "tanh"] = "exact"
    perceptron: Literal["plain", "gated"] = "plain"

    @property
    def has_bias(self) -> bool:
        """Whether there are biases beside those of query, key and value."""
        return self.biases != "nowhere"

    def norm(self, width: int) -> nn.LayerNorm:
        """Return a layer norm."""
        return nn.LayerNorm(width, eps=self.norm_eps, bias=self.has_bias)

    def perceptron_of(self, width: int, *, ratio: int = 4) -> "Perceptron | GatedPerceptron":
        """Return a perceptron whose hidden layer is `ratio` times as wide as its tokens, or costs as much if it is gated."""
        if self.perceptron == "gated":
            return GatedPerceptron(width, ratio=ratio, bias=self.has_bias)
        return Perceptron(width, ratio=ratio, gelu=self.gelu, bias=self.has_bias)


USUAL = BlockStyle()


def layer_norm(width: int, *, eps: float = NORM_EPS) -> nn.LayerNorm:
    """Return the layer norm of vision transformers, with eps 1e-6 as most have it (the default of torch is 1e-5)."""
    return nn.LayerNorm(width, eps=eps)


class KeylessBias(nn.Linear):
    """A fused projection to query, key and value, of which the key has no bias (Bao et al., arXiv:2106.08254)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 3 * width, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(width))
        self.value_bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens fused"]:
        """Return query, key and value side by side."""
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        return linear(tokens, self.weight, bias)


class Attention(nn.Module):
    """Multi-head self-attention; the fused projection gives query, key, value, each split into heads, then channels."""

    def __init__(self, width: int, *, heads: int, biases: Biases = "all") -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"a width of {width} cannot be split into {heads} attention heads of equal width")
        self.heads = heads
        self.qkv = _fused_projection(width, biases)
        self.projection = nn.Linear(width, width, bias=biases != "nowhere")

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        bias: Float[Tensor, "#batch #heads #tokens tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Let every token attend to every token of its sample; `bias` is added to what the softmax is taken of."""
        query, key, value = rearrange(
            self.qkv(tokens),
            "batch tokens (three heads dim) -> three batch heads tokens dim",
            three=3,
            heads=self.heads,
        )
        mixed = scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))
        joined: Tensor = self.projection(rearrange(mixed, "batch heads tokens dim -> batch tokens (heads dim)"))
        return joined


def _fused_projection(width: int, biases: Biases) -> nn.Linear:
    return KeylessBias(width) if biases == "query and value" else nn.Linear(width, 3 * width, bias=biases == "all")


class Perceptron(nn.Module):
    """Linear, GELU, linear, applied to each token alone."""

    def __init__(self, width: int, *, ratio: int, gelu: Literal["exact", "tanh"] = "exact", bias: bool = True) -> None:
        super().__init__()
        self.expand = nn.Linear(width, ratio * width, bias=bias)
        self.activation = nn.GELU(approximate="none" if gelu == "exact" else "tanh")
        self.contract = nn.Linear(ratio * width, width, bias=bias)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Transform each token."""
        transformed: Tensor = self.contract(self.activation(self.expand(tokens)))
        return transformed


class GatedPerceptron(nn.Module):
    """Linear times the SiLU of another linear, then a third (SwiGLU; Shazeer, arXiv:2002.05202, equation 6).

    Its hidden layer has two thirds of the width, rounded down, so that three layers cost what two do.
    """

    def __init__(self, width: int, *, ratio: int, bias: bool = True) -> None:
        super().__init__()
        hidden = 2 * ratio * width // 3
        self.gate = nn.Linear(width, hidden, bias=bias)
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.contract = nn.Linear(hidden, width, bias=bias)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Transform each token."""
        transformed: Tensor = self.contract(silu(self.gate(tokens)) * self.expand(tokens))
        return transformed


class LayerScale(nn.Module):
    """Multiplies every channel by a learned gain (Touvron et al., arXiv:2103.17239, section 2.1), which starts at `start`."""

    def __init__(self, width: int, *, start: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((width,), start))

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Scale each channel."""
        return tokens * self.gain


class Block(nn.Module):
    """One transformer block (Dosovitskiy et al., arXiv:2010.11929, equations 2 and 3).

    With `layer_scale`, what each of the two branches adds is scaled by learned gains that start there. In training, each
    branch is left out of a sample with probability `drop_path`, and grows in others to keep its mean (arXiv:1603.09382).
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        ratio: int = 4,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        style: BlockStyle = USUAL,
    ) -> None:
        super().__init__()
        self.norm1 = style.norm(width)
        self.attention = Attention(width, heads=heads, biases=style.biases)
        self.added1 = _addition(width, layer_scale=layer_scale, drop_path=drop_path)
        self.norm2 = style.norm(width)
        self.perceptron = style.perceptron_of(width, ratio=ratio)
        self.added2 = _addition(width, layer_scale=layer_scale, drop_path=drop_path)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        bias: Float[Tensor, "#batch #heads #tokens tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Mix the tokens of each sample, then transform each token."""
        return self.normed(tokens, bias, self.norm1, self.norm2)

    def normed(
        self, tokens: Float[Tensor, "batch tokens width"], bias: Tensor | None, first: nn.Module, second: nn.Module
    ) -> Float[Tensor, "batch tokens width"]:
        """Do so with other norms before the two branches."""
        mixed: Tensor = tokens + self.added1(self.attention(first(tokens), bias))
        transformed: Tensor = mixed + self.added2(self.perceptron(second(mixed)))
        return transformed


def _addition(width: int, *, layer_scale: float | None, drop_path: float) -> nn.Sequential:
    """Return what becomes of a branch before it is added to the tokens."""
    scale = [] if layer_scale is None else [LayerScale(width, start=layer_scale)]
    drop = [StochasticDepth(drop_path, mode="row")] if drop_path else []
    return nn.Sequential(*scale, *drop)


def stack_of_blocks(
    width: int,
    *,
    depth: int,
    heads: int,
    layer_scale: float | None = None,
    drop_path: float = 0.0,
    style: BlockStyle = USUAL,
) -> nn.Sequential:
    """Return `depth` blocks to be run one after the other; branches are left out more and more, up to `drop_path`."""
    rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
    return nn.Sequential(
        *(Block(width, heads=heads, layer_scale=layer_scale, drop_path=rate, style=style) for rate in rates)
    )


def run_blocks(
    blocks: Iterable[nn.Module],
    tokens: Float[Tensor, "batch tokens width"],
    bias: Float[Tensor, "#batch #heads #tokens tokens"] | None = None,
) -> list[Float[Tensor, "batch tokens width"]]:
    """Return the tokens after each of the blocks, which all add the same bias to their attention."""
    levels = []
    for block in blocks:
        tokens = block(tokens, bias)
        levels.append(tokens)
    return levels


_NEVER = -1e7
"""What is added to the attention to a token that is none; finite, so that a sample of such tokens alone gives numbers."""


def padding_bias(padding: Bool[Tensor, "batch tokens"] | None) -> Float[Tensor, "batch 1 1 tokens"] | None:
    """Return what keeps tokens from attending to padding; None where there is none."""
    return None if padding is None else blocked_bias(padding[:, None])


def blocked_bias(blocked: Bool[Tensor, "batch asking asked"]) -> Float[Tensor, "batch 1 asking asked"]:
    """Return what keeps tokens from attending to those that are blocked for them."""
    return blocked[:, None].float() * _NEVER
