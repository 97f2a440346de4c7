"""A transformer that reads some tokens of any modalities and writes ids of others.

Mizrahi et al., arXiv:2312.06647; Bachmann et al., arXiv:2406.09406; section 2 of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.everything import everything_visible
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError
from trainers.nn.blocks import USUAL, BlockStyle
from trainers.nn.gather import mean_token
from trainers.nn.initialise import TOKEN_STD, xavier_, xavier_by_projection_
from trainers.nn.network import Network, Output, require_places
from trainers.nn.token_decoder import TokenDecoder
from trainers.nn.token_encoder import TokenEncoder


@dataclass(frozen=True, kw_only=True)
class TokenTransformer:
    """An encoder of `depth` blocks, a decoder of `decoder_depth`; all of them `width` wide, with `heads` attention heads.

    Modalities may be visible, predicted or both, as plans say. Every target of a text is written word by word, any other is
    predicted at all of its places at once; what is predicted has no bias. Texts are told apart from grids by what they are.
    """

    width: int
    depth: int
    heads: int
    decoder_depth: int
    style: BlockStyle = USUAL

    @property
    def takes_absent(self) -> bool:
        """Whether samples may lack some of the modalities: nothing of them is read or predicted."""
        return True

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "TokenTransformerNetwork":
        """Return the network: Xavier-uniform weights, each projection by itself, vectors of standard deviation 0.02.

        Raises:
            SettingsError: Something is to be predicted elsewhere than at target tokens, something else than ids of a text,
                a stack has no blocks, or a modality cannot be embedded.
        """
        require_places(outputs, possible=("target",), architecture="token_transformer")
        if self.depth < 1 or self.decoder_depth < 1:
            raise SettingsError(
                f"token_transformer needs blocks; found model.depth={self.depth}, model.decoder_depth={self.decoder_depth}."
            )
        return TokenTransformerNetwork(self, modalities, outputs=outputs)


class TokenTransformerNetwork(Network):
    """Encoder, decoder, and vectors of modalities that both share."""

    def __init__(
        self, config: TokenTransformer, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.modalities = {modality.name: modality for modality in modalities}
        self.width = config.width
        self.num_prefix_tokens = 0
        self.encoder = TokenEncoder(
            modalities, width=config.width, depth=config.depth, heads=config.heads, style=config.style
        )
        self.decoder = TokenDecoder(
            self.modalities,
            outputs,
            width=config.width,
            depth=config.decoder_depth,
            heads=config.heads,
            style=config.style,
        )
        xavier_(self)
        xavier_by_projection_(self)
        for table in self.modules():
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, std=TOKEN_STD)

    @property
    def kind_tokens(self) -> dict[str, Float[Tensor, "1 1 width"]]:
        """What tells of which modality a token is, by its name."""
        return {name: self.encoder.kind_token(name) for name in self.modalities}

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the scores of ids by the name of the target, [batch, target, ids]; the first word of a text is given."""
        seen = self.encoder.row(inputs, plans)
        context = self.decoder.context(seen, self.encoder(seen))
        asked = self.decoder.row(inputs, plans, self.kind_tokens)
        return self.decoder.scores(asked, self.decoder(asked, context, seen.padding), inputs, plans)

    def encode(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of all modalities in the order of the recipe; of what a sample lacks they mean nothing."""
        plans = everything_visible(self.modalities.values(), inputs, lengths or {})
        row = self.encoder.row(inputs, plans)
        return torch.cat(row.parts_of(self.encoder(row)), dim=1)

    def represent(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """See Network: the mean of the tokens of what a sample has."""
        return self._summary(inputs, everything_visible(self.modalities.values(), inputs, lengths or {}))

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """See Network: the mean of the tokens of a modality that was encoded without the others."""
        plans = everything_visible(self.modalities.values(), inputs, lengths or {})
        return {name: self._summary(inputs, {name: plan}) for name, plan in plans.items()}

    def _summary(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> Float[Tensor, "batch width"]:
        row = self.encoder.row(inputs, plans)
        return mean_token(self.encoder(row), row.padding)
