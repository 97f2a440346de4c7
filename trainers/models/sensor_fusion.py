"""Two sensors that look at one place: an encoder for each, a contrast between both, and one that fuses them to be completed.

Fuller et al., arXiv:2311.00566, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.everything import everything_visible
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError
from trainers.nn.alibi import LinearBiases
from trainers.nn.biased_encoder import BiasedEncoder
from trainers.nn.blocks import USUAL, BlockStyle
from trainers.nn.cross_block import CrossBlock
from trainers.nn.embed import every_token
from trainers.nn.gather import gather_tokens
from trainers.nn.initialise import xavier_
from trainers.nn.joint_decoders import JointDecoderDesign, Setting
from trainers.nn.joint_encoder import Encoding
from trainers.nn.network import Network, Output, require_places, summary

SENSORS = 2
SHARED_AXES = 2
"""Both grids have rows and columns."""


@dataclass(frozen=True, kw_only=True)
class SensorFusion:
    """`depth` blocks for the second sensor, half as many for the first, and half as many in which the first asks the second.

    The first modality of the recipe is the one whose tokens attend to those of the second (radar, and optical bands). A
    sample has to have both. Distances between places bias all attention but the decoder's, and no token has a position.

    Args:
        width: Values of a token.
        depth: Blocks of the encoder of the second sensor.
        heads: Attention heads of all blocks but the decoder's.
        decoder: See `trainers.nn.joint_decoders`; it is given the fused tokens, on the grid of the first sensor.
        style: That of all blocks.
    """

    width: int
    depth: int
    heads: int
    decoder: JointDecoderDesign
    style: BlockStyle = USUAL

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "SensorFusionNetwork":
        """Return the network with Xavier-uniform weights and mask tokens of standard deviation 0.02.

        Raises:
            SettingsError: Something is to be predicted elsewhere than at target tokens, there are not two modalities of one
                grid of rows and columns, or there are too few blocks to fuse them.
        """
        require_places(outputs, possible=("target",), architecture="sensor_fusion")
        first, second = require_one_grid(modalities)
        if self.depth < 2:
            raise SettingsError(f"sensor_fusion fuses in half of model.depth={self.depth} blocks; give at least 2.")
        return SensorFusionNetwork(self, first, second, outputs=outputs)


class SensorFusionNetwork(Network):
    """Two encoders with a projection each, fusion, decoder, and one linear head for every target."""

    def __init__(
        self, config: SensorFusion, first: Modality, second: Modality, *, outputs: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.sensors = (first, second)
        self.width = config.width
        self.num_prefix_tokens = 0
        self.biases = LinearBiases(first.grid, heads=config.heads)
        depths = (config.depth // 2, config.depth)
        self.encoders = nn.ModuleDict(
            {
                sensor.name: BiasedEncoder(
                    sensor, width=config.width, depth=depth, heads=config.heads, style=config.style
                )
                for sensor, depth in zip(self.sensors, depths, strict=True)
            }
        )
        self.projections = nn.ModuleDict({sensor.name: _projection(config) for sensor in self.sensors})
        self.fusion = nn.ModuleList(
            CrossBlock(config.width, heads=config.heads, style=config.style) for _ in range(config.depth // 2)
        )
        self.norm = config.style.norm(config.width)
        self.target_modalities = {name: output.modality for name, output in outputs.items()}
        targets = dict.fromkeys(outputs, first.name)
        self.decoder = config.decoder.build(
            Setting(modalities=(first,), targets=targets, width=config.width, style=config.style, row_first=())
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.decoder.width, output.dim) for name, output in outputs.items()}
        )
        xavier_(self)

    @property
    def reports(self) -> frozenset[str]:
        """See Network."""
        return frozenset(map(summary, self.projections))

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by name of the target, [batch, target, dim], and a summary [batch, width] of each sensor."""
        alone = self._alone(inputs, plans)
        decoded = self._decoded(self._fused(alone, plans), plans)
        return {name: head(decoded[name]) for name, head in self.heads.items()} | {
            summary(name): vector for name, vector in self._summaries(alone).items()
        }

    def _alone(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the visible tokens of each sensor, encoded without the other."""
        return {
            name: encoder(inputs[name], plans[name].visible, self.biases(plans[name].visible, plans[name].visible))
            for name, encoder in self.encoders.items()
        }

    def _summaries(self, alone: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "batch width"]]:
        return {name: projection(alone[name].mean(dim=1)) for name, projection in self.projections.items()}

    def _fused(
        self, alone: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]
    ) -> Float[Tensor, "batch visible width"]:
        """Return the visible tokens of the first sensor after they have seen each other and those of the second."""
        first, second = (sensor.name for sensor in self.sensors)
        asking = plans[first].visible
        bias, context_bias = self.biases(asking, asking), self.biases(asking, plans[second].visible)
        tokens = alone[first]
        for block in self.fusion:
            tokens = block(tokens, alone[second], bias, context_bias)
        normed: Tensor = self.norm(tokens)
        return normed

    def _decoded(
        self, fused: Float[Tensor, "batch visible width"], plans: Mapping[str, MaskPlan]
    ) -> dict[str, Float[Tensor, "batch _ decoder_width"]]:
        """Return decoded tokens by target, at the target places of its sensor.

        Fused tokens stand on the grid of the first sensor, of which all is decoded: what the second is asked for may be
        anywhere on it.
        """
        first, _ = self.sensors
        every = every_token(len(fused), length=first.num_tokens, device=fused.device)
        encoding = Encoding(prefix=fused[:, :0], tokens={first.name: fused}, padding={})
        asked = MaskPlan(visible=plans[first.name].visible, target=every)
        decoded = self.decoder(encoding, {first.name: asked})
        return {
            target: gather_tokens(decoded[target], plans[modality].target)
            for target, modality in self.target_modalities.items()
        }

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the fused tokens of all places in their order, after the final norm."""
        plans = everything_visible(self.sensors, inputs, {})
        return self._fused(self._alone(inputs, plans), plans)

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """See Network: the summaries of all that each sensor measured."""
        return self._summaries(self._alone(inputs, everything_visible(self.sensors, inputs, {})))


def _projection(config: SensorFusion) -> nn.Sequential:
    """Return what becomes of the mean token of a sensor before it is compared with that of the other."""
    return nn.Sequential(
        config.style.norm(config.width),
        nn.Linear(config.width, 4 * config.width),
        nn.GELU(),
        nn.Linear(4 * config.width, config.width),
        nn.Linear(config.width, config.width),
    )


def require_one_grid(modalities: Sequence[Modality]) -> tuple[Modality, Modality]:
    """Return two modalities of one grid of rows and columns; raises SettingsError if there are not just these."""
    found = ", ".join(f"{modality.name} {modality.grid}" for modality in modalities) or "nothing"
    if len(modalities) != SENSORS or any(len(modality.grid) != SHARED_AXES for modality in modalities):
        raise SettingsError(f"sensor_fusion takes two modalities that have rows and columns; this recipe has {found}.")
    first, second = modalities
    if first.grid != second.grid:
        raise SettingsError(
            f"sensor_fusion needs both sensors on one grid of tokens; this recipe has {found}. Set size and patch of both."
        )
    return first, second
