"""An encoder that sees every place, with a learned token where a patch is hidden.

The form of BEiT (Bao et al., arXiv:2106.08254, section 2.3) and of MaskFeat (Wei et al., arXiv:2112.09133, section 3). Only
visible patches are embedded: embedding acts on each patch alone, and what it gave for the others would be overwritten.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.modalities import Image
from shards.errors import SettingsError
from trainers.nn.blocks import layer_norm, run_blocks, stack_of_blocks
from trainers.nn.embed import Gridded
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, damp_by_depth_, truncated_normal_
from trainers.nn.placing import LearnedPositions, RelativePositions

Positions = Literal["learned", "relative"]
"""Whether places are told by a vector of their own, or by biases of attention that depend on displacements in a picture."""

Start = Literal["even", "damped"]
"""Whether linear weights start alike in all blocks, or smaller in later ones; see `initialise.damp_by_depth_`."""


class FilledEncoder(nn.Module):
    """Patches at the visible places -> class token and tokens of all places.

    Raises SettingsError if relative positions are asked for of something other than a picture.
    """

    def __init__(
        self,
        modality: Gridded,
        *,
        width: int,
        depth: int,
        heads: int,
        positions: Positions,
        start: Start,
        layer_scale: float | None,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.num_tokens = modality.num_tokens
        self.embed = nn.Linear(modality.patch_values, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = stack_of_blocks(width, depth=depth, heads=heads, layer_scale=layer_scale, drop_path=drop_path)
        self.norm = layer_norm(width)
        truncated_normal_(self)
        if start == "damped":
            damp_by_depth_(self.blocks)
        for token in (self.class_token, self.mask_token):
            nn.init.trunc_normal_(token, std=TOKEN_STD)
        self.places = (
            LearnedPositions(modality.num_tokens, width=width)
            if positions == "learned"
            else RelativePositions(_picture_grid(modality), heads=heads)
        )

    def filled(
        self, patches: Float[Tensor, "batch tokens values"], visible: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the embedded patches at `visible`, and the mask token everywhere else."""
        embedded = self.embed(gather_tokens(patches, visible))
        return scatter_tokens(embedded, visible, filler=self.mask_token, length=self.num_tokens)

    def levels(self, tokens: Float[Tensor, "batch tokens width"]) -> list[Float[Tensor, "batch encoded width"]]:
        """Return the class token and all tokens after each block, before the norm."""
        class_token = self.class_token.expand(tokens.shape[0], -1, -1)
        placed = self.places.placed(torch.cat([class_token, tokens], dim=1))
        return run_blocks(self.blocks, placed, self.places.bias())

    def whole(self, patches: Float[Tensor, "batch tokens values"]) -> Float[Tensor, "batch encoded width"]:
        """Return the class token and the tokens of all patches, nothing hidden, after the norm."""
        encoded: Tensor = self.norm(self.levels(self.embed(patches))[-1])
        return encoded


def _picture_grid(modality: Gridded) -> tuple[int, int]:
    if not isinstance(modality, Image):
        raise SettingsError(
            f"Relative positions are displacements in a picture, but '{modality.name}' is a {type(modality).__name__}; "
            "give --set model.positions=learned."
        )
    return modality.grid
