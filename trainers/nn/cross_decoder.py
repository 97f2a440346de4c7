"""A decoder that completes one encoded sequence with the help of another, which it only looks at.

Weinzaepfel et al., arXiv:2210.10716, section 3.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from trainers.nn.blocks import layer_norm
from trainers.nn.cross_block import CrossBlock
from trainers.nn.embed import Gridded
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.positions import FixedPositions, position_table


@dataclass(frozen=True, kw_only=True)
class CrossDecoder:
    """`depth` blocks with `heads` heads, in which the tokens of a grid see each other, and then those of another."""

    width: int
    depth: int
    heads: int

    def build(self, modality: Gridded, *, encoded_width: int) -> "CrossDecoderNetwork":
        """Return the decoder, initialised; both grids are that of `modality`, and share the linear bridge."""
        return CrossDecoderNetwork(self, modality, encoded_width=encoded_width)


class CrossDecoderNetwork(nn.Module):
    """Bridge, mask tokens where nothing was seen, positions of both grids, blocks, norm."""

    def __init__(self, design: CrossDecoder, modality: Gridded, *, encoded_width: int) -> None:
        super().__init__()
        self.num_tokens = modality.num_tokens
        self.embed = nn.Linear(encoded_width, design.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, design.width))
        self.positions = FixedPositions(position_table(modality, width=design.width))
        self.blocks = nn.ModuleList(CrossBlock(design.width, heads=design.heads) for _ in range(design.depth))
        self.norm = layer_norm(design.width)
        self._initialise()

    def _initialise(self) -> None:
        """Give linear weights Xavier-uniform values, key and value of the context each its own; mask tokens a normal's."""
        xavier_(self)
        for block in self.blocks:
            assert isinstance(block, CrossBlock)
            for projection in block.cross_attention.key_value.weight.detach().chunk(2):
                nn.init.xavier_uniform_(projection)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    def forward(
        self,
        completed: Float[Tensor, "batch visible encoded_width"],
        plan: MaskPlan,
        helping: Float[Tensor, "batch seen encoded_width"],
        helping_plan: MaskPlan,
    ) -> Float[Tensor, "batch target width"]:
        """Return the normed tokens at `plan.target`, in its order; encoded tokens are those at the visible places of plans."""
        table = self.positions()
        filled = scatter_tokens(self.embed(completed), plan.visible, filler=self.mask_token, length=self.num_tokens)
        tokens, context = filled + table, self.embed(helping) + table[helping_plan.visible]
        for block in self.blocks:
            tokens = block(tokens, context)
        decoded: Tensor = self.norm(gather_tokens(tokens, plan.target))
        return decoded
