"""An encoder that sees the visible tokens of several modalities together, and a light decoder that predicts the rest.

Bachmann et al., arXiv:2204.01678; Geng et al., arXiv:2205.14204; Gong et al., arXiv:2210.07839; section 3 of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.everything import everything_visible
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError
from trainers.nn.blocks import USUAL, BlockStyle
from trainers.nn.gather import mean_token
from trainers.nn.initialise import xavier_
from trainers.nn.joint_decoders import JointDecoderDesign, Setting
from trainers.nn.joint_encoder import Encoding, JointEncoder
from trainers.nn.network import Network, Output, require_places, summary


@dataclass(frozen=True, kw_only=True)
class MultimodalAutoencoder:
    """`own_depth` blocks for each modality, `depth` for all together, with `heads` attention heads, and a decoder.

    Args:
        width: Values of a token.
        depth: Blocks in which all modalities meet.
        heads: Attention heads of all blocks of the encoder.
        decoder: See `trainers.nn.joint_decoders`.
        own_depth: Blocks before these, of each modality by itself.
        class_token: Whether a learned token stands before those of the modalities.
        with_kind: Whether a learned vector tells of which modality a token is.
        final_norm: Whether the encoder ends in a layer norm.
        summaries: Whether the joint blocks are also run for each modality alone, for `trainers.terms.Contrast`.
        row_first: Modalities whose positions have the row in their first half.
        style: That of all blocks.
    """

    width: int
    depth: int
    heads: int
    decoder: JointDecoderDesign
    own_depth: int = 0
    class_token: bool = False
    with_kind: bool = True
    final_norm: bool = True
    summaries: bool = False
    row_first: tuple[str, ...] = ()
    style: BlockStyle = USUAL

    @property
    def takes_absent(self) -> bool:
        """Whether samples may lack some of the modalities: they are kept out of attention and losses."""
        return True

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "MultimodalAutoencoderNetwork":
        """Return the network with Xavier-uniform weights and tokens of standard deviation 0.02.

        Raises:
            SettingsError: Something is to be predicted elsewhere than at target tokens, there are no joint blocks, or a
                modality cannot be embedded.
        """
        require_places(outputs, possible=("target",), architecture="multimodal_autoencoder")
        if self.depth < 1:
            raise SettingsError(f"multimodal_autoencoder needs joint blocks; found model.depth={self.depth}.")
        return MultimodalAutoencoderNetwork(self, modalities, outputs=outputs)


class MultimodalAutoencoderNetwork(Network):
    """Encoder, decoder and one linear head for every target."""

    def __init__(
        self, config: MultimodalAutoencoder, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.modalities = {modality.name: modality for modality in modalities}
        self.width = config.width
        self.num_prefix_tokens = int(config.class_token)
        self.summarises = config.summaries
        self.encoder = JointEncoder(
            modalities,
            width=config.width,
            depth=config.depth,
            own_depth=config.own_depth,
            heads=config.heads,
            style=config.style,
            class_token=config.class_token,
            with_kind=config.with_kind,
            final_norm=config.final_norm,
            streams=config.summaries,
            row_first=config.row_first,
        )
        self.decoder = config.decoder.build(
            Setting(
                modalities=modalities,
                targets={name: output.modality for name, output in outputs.items()},
                width=config.width,
                style=config.style,
                row_first=config.row_first,
            )
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.decoder.width, output.dim) for name, output in outputs.items()}
        )
        xavier_(self)

    @property
    def reports(self) -> frozenset[str]:
        """See Network."""
        return frozenset(map(summary, self.modalities)) if self.summarises else frozenset()

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by name of the target, [batch, target, dim], and summaries, if there are any."""
        alone = self.encoder.alone(inputs, plans)
        decoded = self.decoder(self.encoder.together(alone), plans)
        return {name: head(decoded[name]) for name, head in self.heads.items()} | self._summaries(alone)

    def _summaries(self, alone: Encoding) -> dict[str, Tensor]:
        """Return the mean of what the joint blocks make of the visible tokens of each modality alone."""
        if not self.summarises:
            return {}
        return {summary(name): self._summary(alone, name) for name in self.modalities}

    def _summary(self, alone: Encoding, name: str) -> Float[Tensor, "batch width"]:
        return mean_token(self.encoder.stream(alone, name), alone.padding.get(name))

    def encode(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the prefix and the tokens of all modalities in the order of the recipe, after the final norm."""
        row, _ = self._whole(inputs, lengths).joined()
        return row

    def represent(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """See Network: the mean of the tokens of what a sample has."""
        encoding = self._whole(inputs, lengths)
        row, padding = Encoding(
            prefix=encoding.prefix[:, :0], tokens=encoding.tokens, padding=encoding.padding
        ).joined()
        return mean_token(row, padding)

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """See Network: the summaries, or the mean of the tokens of a modality that was encoded without the others."""
        plans = everything_visible(self.modalities.values(), inputs, lengths or {})
        alone = self.encoder.alone(inputs, plans)
        if self.summarises:
            return {name: self._summary(alone, name) for name in self.modalities}
        vectors = {}
        for name, tokens in alone.tokens.items():
            one = Encoding(
                prefix=alone.prefix,
                tokens={name: tokens},
                padding={key: rows for key, rows in alone.padding.items() if key == name},
            )
            vectors[name] = mean_token(self.encoder.together(one).tokens[name], one.padding.get(name))
        return vectors

    def _whole(self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None) -> Encoding:
        """Return the encoding of everything that samples have."""
        plans = everything_visible(self.modalities.values(), inputs, lengths or {})
        return self.encoder.together(self.encoder.alone(inputs, plans))
