"""An encoder that is shown some patches only: whatever is not given is not seen.

He et al., arXiv:2111.06377, section 3. Patches are gathered before they are embedded: embedding acts on each patch
alone, so this equals embedding all of them and dropping most.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainers.nn.blocks import Biases, BlockStyle, run_blocks, stack_of_blocks
from trainers.nn.embed import Gridded
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.positions import Table, positions_of


class VisibleEncoder(nn.Module):
    """Patches at given places -> class token, if there is one, and encoded tokens.

    `norm` ends it; `positions` are those of `trainers.nn.positions`.
    """

    def __init__(
        self,
        modality: Gridded,
        *,
        width: int,
        depth: int,
        heads: int,
        norm: nn.Module,
        drop_path: float = 0.0,
        biases: Biases = "all",
        class_token: bool = True,
        positions: Table = "sincos",
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(modality.patch_values, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width)) if class_token else None
        self.blocks = stack_of_blocks(
            width, depth=depth, heads=heads, drop_path=drop_path, style=BlockStyle(biases=biases)
        )
        self.norm = norm
        self.positions = positions_of(modality, width=width, kind=positions)
        xavier_(self)
        for token in self.prefix:
            nn.init.normal_(token, std=TOKEN_STD)

    @property
    def prefix(self) -> list[nn.Parameter]:
        """The tokens that come before those of patches: the class token, or none."""
        return [] if self.class_token is None else [self.class_token]

    def tokens(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch visible width"]:
        """Return the embedded patches, each with the position of its place in the grid."""
        placed: Tensor = self.embed(patches) + self.positions()[index]
        return placed

    def levels(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> list[Float[Tensor, "batch encoded width"]]:
        """Return the class token, which has no position, and the tokens in the order of `index`, after each block."""
        tokens = self.tokens(patches, index)
        prefix = [token.expand(tokens.shape[0], -1, -1) for token in self.prefix]
        return run_blocks(self.blocks, torch.cat([*prefix, tokens], dim=1))

    def forward(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch encoded width"]:
        """Return the class token and the tokens in the order of `index`, after the norm."""
        encoded: Tensor = self.norm(self.levels(patches, index)[-1])
        return encoded
