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
from trainers.nn.blocks import Biases, BlockStyle, layer_norm
from trainers.nn.decoders import DecoderDesign, Encoded
from trainers.nn.embed import Gridded, every_token, only_modality, patches_of, require_gridded
from trainers.nn.gather import gather_tokens, mean_token
from trainers.nn.initialise import xavier_
from trainers.nn.network import Network, Output, Places, require_places
from trainers.nn.positions import Table
from trainers.nn.visible_encoder import VisibleEncoder


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoder:
    """A vision transformer of `depth` blocks with `heads` attention heads, and a decoder (`trainers.nn.decoders`).

    It embeds a picture, a clip or a spectrogram. `biases` are those of query, key and value in both, `positions` those of
    tokens in both (`trainers.nn.positions`); `bridge_bias` tells whether the linear layer between the two has one.
    """

    width: int
    depth: int
    heads: int
    decoder: DecoderDesign
    class_token: bool = True
    biases: Biases = "all"
    bridge_bias: bool = True
    positions: Table = "sincos"

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
            positions=config.positions,
        )
        self.decoder = config.decoder.build(
            modality,
            Encoded(
                width=config.width,
                prefix=int(config.class_token),
                style=BlockStyle(biases=config.biases),
                bridge_bias=config.bridge_bias,
                positions=config.positions,
            ),
        )
        self.places = {name: output.places for name, output in outputs.items()}
        widths = {"target": config.decoder.width, "visible": config.width, "sample": config.width}
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

    def represent(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """See Network: the mean of the patches that hold something, whatever silence follows them."""
        patches = self.encode(inputs)[:, self.num_prefix_tokens :]
        length = (lengths or {}).get(self.modality.name)
        if length is None:
            return patches.mean(dim=1)
        beyond = torch.arange(patches.shape[1], device=patches.device) >= length[:, None].to(patches.device)
        return mean_token(patches, beyond)

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token, if there is one, and the tokens of all patches in their order, after the final norm."""
        patches = patches_of(self.modality, inputs[self.modality.name])
        index = every_token(patches.shape[0], length=self.modality.num_tokens, device=patches.device)
        encoded: Tensor = self.encoder(patches, index)
        return encoded
