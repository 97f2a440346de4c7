"""An encoder that sees every place, with a learned mask token where a patch is hidden, and linear heads.

The form of BEiT (arXiv:2106.08254, section 2.3) and of MaskFeat (Wei et al., arXiv:2112.09133, section 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from trainers.nn.embed import Gridded, only_modality, patches_of, require_gridded
from trainers.nn.filled_encoder import FilledEncoder, Positions, Start
from trainers.nn.gather import tokens_at
from trainers.nn.initialise import truncated_normal_
from trainers.nn.network import Network, Output


@dataclass(frozen=True, kw_only=True)
class MaskTokenEncoder:
    """A vision transformer of `depth` blocks with `heads` attention heads.

    It embeds a picture, a clip or a spectrogram; relative `positions` are for pictures alone. `positions`, `start`: see
    `trainers.nn.filled_encoder`; `layer_scale`, `drop_path`: see `trainers.nn.blocks.Block`.
    """

    width: int
    depth: int
    heads: int
    positions: Positions = "learned"
    start: Start = "even"
    layer_scale: float | None = None
    drop_path: float = 0.0

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "MaskTokenEncoderNetwork":
        """Return the network with weights, tokens and positions from a truncated normal of standard deviation 0.02.

        Raises:
            SettingsError: The modality has no patches, or no relative positions where they are asked for.
        """
        modality = only_modality(modalities, architecture="mask_token_encoder")
        gridded = require_gridded(modality, architecture="mask_token_encoder")
        return MaskTokenEncoderNetwork(self, gridded, outputs=outputs)


class MaskTokenEncoderNetwork(Network):
    """Class token, visible and mask tokens through one encoder; a linear head for every target."""

    def __init__(self, config: MaskTokenEncoder, modality: Gridded, *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.modality = modality
        self.width = config.width
        self.num_prefix_tokens = 1
        self.encoder = FilledEncoder(
            modality,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            positions=config.positions,
            start=config.start,
            layer_scale=config.layer_scale,
            drop_path=config.drop_path,
        )
        self.places = {name: output.places for name, output in outputs.items()}
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, output.dim) for name, output in outputs.items()})
        truncated_normal_(self.heads)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by name of the target: [batch, places, dim] where it is predicted.

        A place is hidden from the encoder if and only if it is not in `plan.visible`. What is predicted of a whole sample
        is [batch, dim], from the class token.
        """
        plan = plans[self.modality.name]
        patches = patches_of(self.modality, inputs[self.modality.name])
        mixed = self.encoder.levels(self.encoder.filled(patches, plan.visible))[-1]
        # The norm acts on each token alone, so tokens that nobody asked for are dropped before it.
        asked = dict.fromkeys(self.places.values())
        encoded = {places: self.encoder.norm(tokens_at(mixed, plan, places)) for places in asked}
        return {name: head(encoded[self.places[name]]) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, in their order, after the final norm."""
        return self.encoder.whole(patches_of(self.modality, inputs[self.modality.name]))
