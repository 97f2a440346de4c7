"""An encoder that sees visible patches only, and a light decoder that predicts the rest.

He et al., arXiv:2111.06377, section 3. Patches are gathered before they are embedded: embedding acts on each patch
alone, so this equals embedding all of them and dropping most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from trainers.nn.blocks import layer_norm, stack_of_blocks
from trainers.nn.embed import every_token, image_patches, only_modality
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.network import Network
from trainers.nn.positions import sincos_2d


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoder:
    """A vision transformer of `depth` blocks with `heads` attention heads, and a decoder of its own size."""

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, int]) -> "MaskedAutoencoderNetwork":
        """Return the network with Xavier-uniform weights and tokens of standard deviation 0.02."""
        image = only_modality(modalities, architecture="masked_autoencoder")
        return MaskedAutoencoderNetwork(self, image, outputs=outputs)


class VisibleEncoder(nn.Module):
    """Patches at given places -> class token and encoded tokens; whatever is not given is not seen."""

    def __init__(self, config: MaskedAutoencoder, image: Image) -> None:
        super().__init__()
        self.embed = nn.Linear(image.patch_values, config.width)
        self.class_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.blocks = stack_of_blocks(config.width, depth=config.depth, heads=config.heads)
        self.norm = layer_norm(config.width)
        self.positions: Tensor
        self.register_buffer("positions", sincos_2d(image.grid, width=config.width), persistent=False)
        xavier_(self)
        nn.init.normal_(self.class_token, std=TOKEN_STD)

    def tokens(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch visible width"]:
        """Return the embedded patches, each with the position of its place in the grid."""
        placed: Tensor = self.embed(patches) + self.positions[index]
        return placed

    def forward(
        self, patches: Float[Tensor, "batch visible values"], index: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch encoded width"]:
        """Return the class token, which has no position, and the tokens in the order of `index`, after the norm."""
        tokens = self.tokens(patches, index)
        class_token = self.class_token.expand(tokens.shape[0], -1, -1)
        encoded: Tensor = self.norm(self.blocks(torch.cat([class_token, tokens], dim=1)))
        return encoded


class LightDecoder(nn.Module):
    """Encoded visible tokens -> decoded tokens at the places asked for; mask tokens stand in for all others."""

    def __init__(self, config: MaskedAutoencoder, image: Image) -> None:
        super().__init__()
        width = config.decoder_width
        self.num_tokens = image.num_tokens
        self.embed = nn.Linear(config.width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = stack_of_blocks(width, depth=config.decoder_depth, heads=config.decoder_heads)
        self.norm = layer_norm(width)
        self.positions: Tensor
        self.register_buffer("positions", sincos_2d(image.grid, width=width), persistent=False)
        xavier_(self)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    def forward(
        self, encoded: Float[Tensor, "batch encoded width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target decoder_width"]:
        """Return the normed tokens at `plan.target`, in its order."""
        tokens = self.embed(encoded)
        placed = scatter_tokens(tokens[:, 1:], plan.visible, filler=self.mask_token, length=self.num_tokens)
        sequence = torch.cat([tokens[:, :1], placed + self.positions], dim=1)
        # The norm acts on each token alone, so tokens that nobody asked for are dropped before it.
        decoded: Tensor = self.norm(gather_tokens(self.blocks(sequence)[:, 1:], plan.target))
        return decoded


class MaskedAutoencoderNetwork(Network):
    """Encoder, decoder and one linear head for every target."""

    def __init__(self, config: MaskedAutoencoder, image: Image, *, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.image = image
        self.width = config.width
        self.num_prefix_tokens = 1
        self.encoder = VisibleEncoder(config, image)
        self.decoder = LightDecoder(config, image)
        self.heads = nn.ModuleDict({name: nn.Linear(config.decoder_width, dim) for name, dim in outputs.items()})
        xavier_(self.heads)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at `plan.target`, in its order: [batch, target, dim] by name of the target."""
        plan = plans[self.image.name]
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        encoded = self.encoder(gather_tokens(patches, plan.visible), plan.visible)
        decoded = self.decoder(encoded, plan)
        return {name: head(decoded) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, row by row, after the final norm."""
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        index = every_token(patches.shape[0], length=self.image.num_tokens, device=patches.device)
        encoded: Tensor = self.encoder(patches, index)
        return encoded
