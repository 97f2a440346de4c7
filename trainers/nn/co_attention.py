"""Two streams of tokens that are encoded by themselves, then look at each other block by block.

Chen et al., arXiv:2209.07098, section 2; Dou et al., arXiv:2111.02387, section 3.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from trainers.nn.blocks import BlockStyle, padding_bias, run_blocks, stack_of_blocks
from trainers.nn.cross_block import CrossBlock
from trainers.nn.initialise import TOKEN_STD
from trainers.nn.stems import stem_for


class Stream(NamedTuple):
    """A class token and the tokens of a modality, [batch, 1 + visible, width], and which of these are none; None if all are.

    The class token is never padding, so a sample that lacks the modality has something to be attended to.
    """

    tokens: Float[Tensor, "batch tokens width"]
    padding: Bool[Tensor, "batch tokens"] | None

    @property
    def summary(self) -> Float[Tensor, "batch width"]:
        """The class token."""
        return self.tokens[:, 0]

    @property
    def places(self) -> Float[Tensor, "batch visible width"]:
        """The tokens of the modality."""
        return self.tokens[:, 1:]

    @property
    def place_padding(self) -> Bool[Tensor, "batch visible"] | None:
        """Which of these are none."""
        return None if self.padding is None else self.padding[:, 1:]

    def rolled(self) -> "Stream":
        """Return the stream in which every sample has that of the one before it, and the first that of the last."""
        return Stream(self.tokens.roll(1, dims=0), None if self.padding is None else self.padding.roll(1, dims=0))


class StreamEncoder(nn.Module):
    """A modality by itself: stem, class token, `depth` blocks, norm."""

    def __init__(self, modality: Modality, *, width: int, depth: int, heads: int, style: BlockStyle) -> None:
        super().__init__()
        self.stem = stem_for(modality, width=width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = stack_of_blocks(width, depth=depth, heads=heads, style=style)
        self.norm = style.norm(width)
        nn.init.normal_(self.class_token, std=TOKEN_STD)

    def forward(self, inputs: Tensor, plan: MaskPlan) -> Stream:
        """Return what the plan shows, encoded."""
        visible = self.stem(inputs, plan.visible, plan.visible_ids)
        tokens = torch.cat([self.class_token.expand(len(visible), -1, -1), visible], dim=1)
        padding = None if plan.visible_padding is None else pad(plan.visible_padding, (1, 0), value=False)
        return Stream(self.norm(run_blocks(self.blocks, tokens, padding_bias(padding))[-1]), padding)


class CoAttentionBlock(nn.Module):
    """A block for each of two streams: its tokens see each other, then those of the other stream as they were before."""

    def __init__(self, width: int, *, heads: int, style: BlockStyle) -> None:
        super().__init__()
        self.first, self.second = (CrossBlock(width, heads=heads, style=style) for _ in range(2))

    def forward(self, first: Stream, second: Stream) -> tuple[Stream, Stream]:
        """Return both streams after the block."""
        of_first, of_second = padding_bias(first.padding), padding_bias(second.padding)
        return (
            Stream(self.first(first.tokens, second.tokens, of_first, of_second), first.padding),
            Stream(self.second(second.tokens, first.tokens, of_second, of_first), second.padding),
        )
