"""An encoder that is shown some patches only: whatever is not given is not seen.

He et al., arXiv:2111.06377, section 3. Patches are gathered before they are embedded: embedding acts on each patch
alone, so this equals embedding all of them and dropping most.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.modalities import Image
from trainers.nn.blocks import run_blocks, stack_of_blocks
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.positions import sincos_2d


class VisibleEncoder(nn.Module):
    """Patches at given places -> class token and encoded tokens; `norm` ends it, positions are fixed sines and cosines."""

    def __init__(
        self, image: Image, *, width: int, depth: int, heads: int, norm: nn.Module, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(image.patch_values, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = stack_of_blocks(width, depth=depth, heads=heads, drop_path=drop_path)
        self.norm = norm
        self.positions: Tensor
        self.register_buffer("positions", sincos_2d(image.grid, width=width), persistent=False)
        xavier_(self)
        nn.init.normal_(self.class_token, std=TOKEN_STD)

    def tokens(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch visible width"]:
        """Return the embedded patches, each with the position of its place in the grid."""
        placed: Tensor = self.embed(patches) + self.positions[index]
        return placed

    def levels(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> list[Float[Tensor, "batch encoded width"]]:
        """Return the class token, which has no position, and the tokens in the order of `index`, after each block."""
        tokens = self.tokens(patches, index)
        class_token = self.class_token.expand(tokens.shape[0], -1, -1)
        return run_blocks(self.blocks, torch.cat([class_token, tokens], dim=1))

    def forward(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch encoded width"]:
        """Return the class token and the tokens in the order of `index`, after the norm."""
        encoded: Tensor = self.norm(self.levels(patches, index)[-1])
        return encoded
