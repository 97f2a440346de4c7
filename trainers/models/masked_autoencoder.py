"""An encoder that sees visible patches only, and a light decoder that predicts the rest.

He et al., arXiv:2111.06377, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError
from trainers.nn.blocks import Biases, layer_norm, stack_of_blocks
from trainers.nn.embed import Gridded, every_token, only_modality, patches_of, require_gridded
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD, xavier_
from trainers.nn.network import Network, Output, Places, require_places
from trainers.nn.positions import position_table
from trainers.nn.visible_encoder import VisibleEncoder


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoder:
    """A vision transformer of `depth` blocks with `heads` attention heads, and a decoder of its own size.

    It embeds a picture, a clip or a spectrogram. `biases` are those of query, key and value in both; `bridge_bias` tells
    whether the linear layer between the two has one.
    """

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int
    class_token: bool = True
    biases: Biases = "all"
    bridge_bias: bool = True

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "MaskedAutoencoderNetwork":
        """Return the network with Xavier-uniform weights and tokens of standard deviation 0.02.

        Raises:
            SettingsError: There is nothing to predict at the target tokens, something at places it predicts nothing at (the
                sample, if there is no class token), or the modality has no patches.
        """
        modality = only_modality(modalities, architecture="masked_autoencoder")
        possible: tuple[Places, ...] = ("target", "visible", *(("sample",) if self.class_token else ()))
        require_places(outputs, possible=possible, architecture="masked_autoencoder")
        if all(output.places != "target" for output in outputs.values()):
            raise SettingsError("masked_autoencoder has a decoder, so at least one target has to be at target tokens")
        gridded = require_gridded(modality, architecture="masked_autoencoder")
        return MaskedAutoencoderNetwork(self, gridded, outputs=outputs)


class LightDecoder(nn.Module):
    """Encoded visible tokens -> decoded tokens at the places asked for; mask tokens stand in for all others.

    Tokens stand in the order of the grid. Attention does not know of any order, so any other gives the same.
    """

    def __init__(self, config: MaskedAutoencoder, modality: Gridded) -> None:
        super().__init__()
        width = config.decoder_width
        self.num_tokens = modality.num_tokens
        self.num_prefix_tokens = int(config.class_token)
        self.embed = nn.Linear(config.width, width, bias=config.bridge_bias)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = stack_of_blocks(
            width, depth=config.decoder_depth, heads=config.decoder_heads, biases=config.biases
        )
        self.norm = layer_norm(width)
        self.positions: Tensor
        self.register_buffer("positions", position_table(modality, width=width), persistent=False)
        xavier_(self)
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    def forward(
        self, encoded: Float[Tensor, "batch encoded width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target decoder_width"]:
        """Return the normed tokens at `plan.target`, in its order."""
        prefix, tokens = self.embed(encoded).tensor_split([self.num_prefix_tokens], dim=1)
        placed = scatter_tokens(tokens, plan.visible, filler=self.mask_token, length=self.num_tokens)
        sequence = torch.cat([prefix, placed + self.positions], dim=1)
        # The norm acts on each token alone, so tokens that nobody asked for are dropped before it.
        decoded: Tensor = self.norm(gather_tokens(self.blocks(sequence)[:, self.num_prefix_tokens :], plan.target))
        return decoded


class MaskedAutoencoderNetwork(Network):
    """Encoder, decoder and one linear head for every target: on the decoder where tokens are hidden, else on the encoder."""

    def __init__(self, config: MaskedAutoencoder, modality: Gridded, *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.modality = modality
        self.width = config.width
        self.num_prefix_tokens = int(config.class_token)
        self.encoder = VisibleEncoder(
            modality,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            norm=layer_norm(config.width),
            biases=config.biases,
            class_token=config.class_token,
        )
        self.decoder = LightDecoder(config, modality)
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
        plan = plans[self.modality.name]
        patches = patches_of(self.modality, inputs[self.modality.name])
        encoded = self.encoder(gather_tokens(patches, plan.visible), plan.visible)
        visible = encoded[:, self.num_prefix_tokens :]
        found = {"target": self.decoder(encoded, plan), "visible": visible, "sample": encoded[:, 0]}
        return {name: head(found[self.places[name]]) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token, if there is one, and the tokens of all patches in their order, after the final norm."""
        patches = patches_of(self.modality, inputs[self.modality.name])
        index = every_token(patches.shape[0], length=self.modality.num_tokens, device=patches.device)
        encoded: Tensor = self.encoder(patches, index)
        return encoded
