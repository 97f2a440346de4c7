"""An encoder that sees every place, with a learned mask token where a patch is hidden, and linear heads.

The form of BEiT (arXiv:2106.08254, section 2.3) and of MaskFeat (Wei et al., arXiv:2112.09133, section 3). Only visible
patches are embedded: embedding acts on each patch alone, and what it gave for the others would be overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from trainers.nn.blocks import layer_norm, stack_of_blocks
from trainers.nn.embed import image_patches, only_modality
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, truncated_normal_
from trainers.nn.network import Network


@dataclass(frozen=True, kw_only=True)
class MaskTokenEncoder:
    """A vision transformer of `depth` blocks with `heads` attention heads and learned positions."""

    width: int
    depth: int
    heads: int

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, int]) -> "MaskTokenEncoderNetwork":
        """Return the network with weights, tokens and positions from a truncated normal of standard deviation 0.02."""
        image = only_modality(modalities, architecture="mask_token_encoder")
        return MaskTokenEncoderNetwork(self, image, outputs=outputs)


class MaskTokenEncoderNetwork(Network):
    """Class token, visible and mask tokens through one encoder; a linear head for every target."""

    def __init__(self, config: MaskTokenEncoder, image: Image, *, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.image = image
        self.width = config.width
        self.num_prefix_tokens = 1
        self.embed = nn.Linear(image.patch_values, config.width)
        self.class_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.mask_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.positions = nn.Parameter(torch.empty(1, 1 + image.num_tokens, config.width))
        self.blocks = stack_of_blocks(config.width, depth=config.depth, heads=config.heads)
        self.norm = layer_norm(config.width)
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, dim) for name, dim in outputs.items()})
        truncated_normal_(self)
        for parameter in (self.class_token, self.mask_token, self.positions):
            nn.init.trunc_normal_(parameter, std=TOKEN_STD)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at `plan.target`, in its order: [batch, target, dim] by name of the target.

        A place is hidden from the encoder if and only if it is not in `plan.visible`.
        """
        plan = plans[self.image.name]
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        visible = self.embed(gather_tokens(patches, plan.visible))
        tokens = scatter_tokens(visible, plan.visible, filler=self.mask_token, length=self.image.num_tokens)
        # The norm acts on each token alone, so tokens that nobody asked for are dropped before it.
        encoded = self.norm(gather_tokens(self._mix(tokens)[:, 1:], plan.target))
        return {name: head(encoded) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, row by row, after the final norm."""
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        encoded: Tensor = self.norm(self._mix(self.embed(patches)))
        return encoded

    def _mix(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch encoded width"]:
        """Put the class token in front, add positions, run the blocks."""
        class_token = self.class_token.expand(tokens.shape[0], -1, -1)
        mixed: Tensor = self.blocks(torch.cat([class_token, tokens], dim=1) + self.positions)
        return mixed
