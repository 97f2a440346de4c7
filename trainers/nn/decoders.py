"""Light decoders: encoded visible tokens in, decoded tokens at the places that are asked for out.

A design (a dataclass of the recipe) builds a decoder for the grid of a modality. They differ in which tokens see each other.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from pipelines.masking.plan import MaskPlan
from trainers.nn.blocks import BlockStyle, padding_bias, run_blocks, stack_of_blocks
from trainers.nn.embed import Gridded
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.positions import FixedPositions, SeparablePositions, Table, positions_of


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a decoder is given: tokens of `width` values, the first `prefix` of which belong to no place.

    `style` is that of the encoder's blocks, `positions` are of the same kind as its own; `bridge_bias` tells whether the
    linear layer between the two has a bias.
    """

    width: int
    prefix: int
    style: BlockStyle
    bridge_bias: bool
    positions: Table = "sincos"


@runtime_checkable
class DecoderDesign(Protocol):
    """The description of a decoder."""

    @property
    def width(self) -> int:
        """Values of a decoded token."""
        ...

    def build(self, modality: Gridded, encoded: Encoded) -> "Decoder":
        """Return the decoder, initialised."""
        ...


class Decoder(nn.Module):
    """A linear bridge, mask tokens with positions where nothing was seen, layers that mix them, a norm."""

    def __init__(self, modality: Gridded, encoded: Encoded, *, width: int) -> None:
        super().__init__()
        self.num_tokens = modality.num_tokens
        self.num_prefix_tokens = encoded.prefix
        self.embed = nn.Linear(encoded.width, width, bias=encoded.bridge_bias)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.norm = encoded.style.norm(width)
        self.positions: FixedPositions | SeparablePositions = positions_of(
            modality, width=width, kind=encoded.positions
        )

    def initialise(self) -> None:
        """Give linear weights Xavier-uniform values, and mask tokens a standard deviation of 0.02."""
        xavier_(self)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    def forward(
        self, encoded: Float[Tensor, "batch encoded width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target decoder_width"]:
        """Return the normed tokens at `plan.target`, in its order."""
        prefix, visible = self.embed(encoded).tensor_split([self.num_prefix_tokens], dim=1)
        decoded: Tensor = self.norm(self.decoded(prefix, visible, plan))
        return decoded

    @abstractmethod
    def decoded(
        self, prefix: Float[Tensor, "batch prefix width"], visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target width"]:
        """Return the tokens at `plan.target` before the norm, which acts on each token alone."""

    def filled(
        self, visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of the whole grid with their positions, mask tokens where nothing was seen."""
        tokens = scatter_tokens(visible, plan.visible, filler=self.mask_token, length=self.num_tokens)
        placed: Tensor = tokens + self.positions()
        return placed


@dataclass(frozen=True, kw_only=True)
class BlockDecoder:
    """Decoders that are a stack of `depth` blocks with `heads` heads."""

    width: int
    depth: int
    heads: int


class BlockDecoderNetwork(Decoder):
    """The blocks; who is among their tokens is up to each decoder."""

    def __init__(self, design: BlockDecoder, modality: Gridded, encoded: Encoded) -> None:
        super().__init__(modality, encoded, width=design.width)
        self.blocks = stack_of_blocks(design.width, depth=design.depth, heads=design.heads, style=encoded.style)
        self.initialise()


@dataclass(frozen=True, kw_only=True)
class GlobalDecoder(BlockDecoder):
    """`depth` blocks with `heads` heads, in which all tokens of the grid see each other (He et al., arXiv:2111.06377)."""

    def build(self, modality: Gridded, encoded: Encoded) -> "GlobalDecoderNetwork":
        """See DecoderDesign."""
        return GlobalDecoderNetwork(self, modality, encoded)


class GlobalDecoderNetwork(BlockDecoderNetwork):
    """Tokens stand in the order of the grid. Attention does not know of any order, so any other gives the same."""

    def decoded(
        self, prefix: Float[Tensor, "batch prefix width"], visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target width"]:
        """See Decoder."""
        mixed = self.blocks(torch.cat([prefix, self.filled(visible, plan)], dim=1))
        return gather_tokens(mixed[:, self.num_prefix_tokens :], plan.target)


@dataclass(frozen=True, kw_only=True)
class ChosenDecoder(BlockDecoder):
    """`depth` blocks with `heads` heads, which do not see hidden tokens that nobody asked for.

    They see the encoded tokens, and a mask token for each of `plan.target` (Wang et al., arXiv:2303.16727, section 3.2). Where
    the target is all that is hidden, this is the GlobalDecoder.
    """

    def build(self, modality: Gridded, encoded: Encoded) -> "ChosenDecoderNetwork":
        """See DecoderDesign."""
        return ChosenDecoderNetwork(self, modality, encoded)


class ChosenDecoderNetwork(BlockDecoderNetwork):
    """Encoded tokens come first, in their order, then those that are asked for, in theirs; no token sees padding."""

    def decoded(
        self, prefix: Float[Tensor, "batch prefix width"], visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target width"]:
        """See Decoder."""
        table = self.positions()
        tokens = torch.cat([prefix, visible + table[plan.visible], self.mask_token + table[plan.target]], dim=1)
        bias = padding_bias(padding_of_both(plan, prefix=self.num_prefix_tokens))
        return run_blocks(self.blocks, tokens, bias)[-1][:, self.num_prefix_tokens + visible.shape[1] :]


def padding_of_both(plan: MaskPlan, *, prefix: int) -> Bool[Tensor, "batch tokens"] | None:
    """Return which of `prefix` tokens, the visible and the target ones are none; None if all are some."""
    if plan.visible_padding is None and plan.target_padding is None:
        return None
    halves = ((plan.visible, plan.visible_padding), (plan.target, plan.target_padding))
    marks = [torch.zeros_like(index, dtype=torch.bool) if padding is None else padding for index, padding in halves]
    return pad(torch.cat(marks, dim=1), (prefix, 0), value=False)
