"""An encoder of visible patches whose blocks are mixed by learned weights to match several levels of a teacher.

Xue et al., arXiv:2211.08887, section 3.3. Nothing is predicted of what is hidden: there are neither mask tokens nor a
decoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, einsum, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from trainers.nn.blocks import NORM_EPS
from trainers.nn.embed import every_token, image_patches, only_modality
from trainers.nn.gather import gather_tokens
from trainers.nn.initialise import xavier_
from trainers.nn.network import Network, Output, require_places
from trainers.nn.visible_encoder import VisibleEncoder

OTHER_BLOCKS = 0.01
"""What the mixture of a level starts with for every block, beside 1 for its own."""


@dataclass(frozen=True, kw_only=True)
class AlignedEncoder:
    """A vision transformer of `depth` blocks with `heads` attention heads; every target is one level of the teacher.

    Targets stand in the order of their levels, the deepest last. The branches of the last block are left out with
    probability `drop_path` in training.
    """

    width: int
    depth: int
    heads: int
    drop_path: float

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, Output]) -> "AlignedEncoderNetwork":
        """Return the network with Xavier-uniform weights; each level starts at the block as far from the end as it is.

        Raises:
            SettingsError: Something is to be predicted at other tokens than the visible ones.
        """
        image = only_modality(modalities, architecture="aligned_encoder")
        require_places(outputs, possible=("visible",), architecture="aligned_encoder")
        return AlignedEncoderNetwork(self, image, outputs=outputs)


class AlignedEncoderNetwork(Network):
    """Encoder, a mixture of its blocks for each level, and a linear adaptor for each level."""

    def __init__(self, config: AlignedEncoder, image: Image, *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.image = image
        self.width = config.width
        self.num_prefix_tokens = 1
        # What is aligned are blocks before any norm, so the norm that ends encoding has nothing to learn.
        norm = nn.LayerNorm(config.width, eps=NORM_EPS, elementwise_affine=False)
        self.encoder = VisibleEncoder(
            image,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            norm=norm,
            drop_path=config.drop_path,
        )
        self.mixture = nn.Parameter(level_mixture(len(outputs), config.depth))
        self.adaptors = nn.ModuleDict({name: nn.Linear(config.width, output.dim) for name, output in outputs.items()})
        xavier_(self.adaptors)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at `plan.visible`, in its order: [batch, visible, dim] by name of the target."""
        plan = plans[self.image.name]
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        blocks = torch.stack(self.encoder.levels(gather_tokens(patches, plan.visible), plan.visible))
        levels = einsum("lk,kbtw->lbtw", self.mixture, blocks[:, :, 1:])
        return {name: adaptor(level) for (name, adaptor), level in zip(self.adaptors.items(), levels, strict=True)}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, row by row, normalised."""
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        index = every_token(patches.shape[0], length=self.image.num_tokens, device=patches.device)
        encoded: Tensor = self.encoder(patches, index)
        return encoded


def level_mixture(levels: int, blocks: int) -> Float[Tensor, "levels blocks"]:
    """Return the shares that levels start with: 1.01 for the block as far from the end as the level, else 0.01.

    Where there are more levels than blocks, the first levels start at the first block.
    """
    mixture = torch.full((levels, blocks), OTHER_BLOCKS)
    for level in range(levels):
        mixture[level, max(0, blocks - levels + level)] += 1
    return mixture
