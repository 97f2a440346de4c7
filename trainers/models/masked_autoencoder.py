"""An encoder that sees visible patches only, and a light decoder that predicts the rest.

He et al., arXiv:2111.06377, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from shards.errors import SettingsError
from trainers.nn.blocks import layer_norm, stack_of_blocks
from trainers.nn.embed import every_token, image_patches, only_modality
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.network import Network, Output, require_places
from trainers.nn.positions import sincos_2d
from trainers.nn.visible_encoder import VisibleEncoder


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoder:
    """A vision transformer of `depth` blocks with `heads` attention heads, and a decoder of its own size."""

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, Output]) -> "MaskedAutoencoderNetwork":
        """Return the network with Xavier-uniform weights and tokens of standard deviation 0.02.

        Raises:
            SettingsError: There is nothing to predict at the target tokens, or something at places it predicts nothing at.
        """
        image = only_modality(modalities, architecture="masked_autoencoder")
        require_places(outputs, possible=("target", "visible", "sample"), architecture="masked_autoencoder")
        if all(output.places != "target" for output in outputs.values()):
            raise SettingsError("masked_autoencoder has a decoder, so at least one target has to be at target tokens")
        return MaskedAutoencoderNetwork(self, image, outputs=outputs)


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
    """Encoder, decoder and one linear head for every target: on the decoder where tokens are hidden, else on the encoder."""

    def __init__(self, config: MaskedAutoencoder, image: Image, *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.image = image
        self.width = config.width
        self.num_prefix_tokens = 1
        self.encoder = VisibleEncoder(
            image, width=config.width, depth=config.depth, heads=config.heads, norm=layer_norm(config.width)
        )
        self.decoder = LightDecoder(config, image)
        self.places = {name: output.places for name, output in outputs.items()}
        widths = {"target": config.decoder_width, "visible": config.width, "sample": config.width}
        self.heads = nn.ModuleDict(
            {name: nn.Linear(widths[output.places], output.dim) for name, output in outputs.items()}
        )
        xavier_(self.heads)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by name of the target.

        At target tokens [batch, target, dim] from the decoder, at visible ones [batch, visible, dim] from the encoder, both
        in the order of the plan; of the whole sample [batch, dim] from the class token of the encoder.
        """
        plan = plans[self.image.name]
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        encoded = self.encoder(gather_tokens(patches, plan.visible), plan.visible)
        found = {"target": self.decoder(encoded, plan), "visible": encoded[:, 1:], "sample": encoded[:, 0]}
        return {name: head(found[self.places[name]]) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, row by row, after the final norm."""
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        index = every_token(patches.shape[0], length=self.image.num_tokens, device=patches.device)
        encoded: Tensor = self.encoder(patches, index)
        return encoded
