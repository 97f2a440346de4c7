"""An encoder for pictures and one for words, which then attend to each other: hidden patches, masked words, true pairs.

Chen et al., arXiv:2209.07098, section 2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.everything import everything_visible
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError
from trainers.nn.blocks import USUAL, BlockStyle
from trainers.nn.co_attention import CoAttentionBlock, Stream, StreamEncoder
from trainers.nn.embed import every_token
from trainers.nn.gather import gather_tokens, mean_token
from trainers.nn.initialise import xavier_
from trainers.nn.joint_decoders import JointDecoderDesign, Setting, neither_seen_nor_asked, scattered
from trainers.nn.joint_encoder import Encoding
from trainers.nn.network import Network, Output, matching, require_places

STREAMS = 2


@dataclass(frozen=True, kw_only=True)
class CoAttention:
    """`depth` blocks for each of two modalities, then `fusion_depth` in which each sees the other, all with `heads` heads.

    Of the first modality of the recipe (a picture), hidden tokens are predicted by a decoder, which is given its tokens
    after `level` blocks of fusion. Of the second (a text), some of the tokens it shows are predicted (`MaskedLanguage`),
    after all of them. Each is predicted beside the whole of the other one. Whether a pair belongs together is told from the
    class tokens of both, whole, for `trainers.terms.Matching`.

    Args:
        width: Values of a token.
        depth: Blocks of each modality by itself.
        heads: Attention heads of all blocks but the decoder's.
        decoder: See `trainers.nn.joint_decoders`; it sees the first modality alone.
        fusion_depth: Blocks in which each attends to the other.
        level: After how many of these the decoder looks.
        style: That of all blocks.
    """

    width: int
    depth: int
    heads: int
    decoder: JointDecoderDesign
    fusion_depth: int = 6
    level: int = 3
    style: BlockStyle = USUAL

    @property
    def takes_absent(self) -> bool:
        """Whether samples may lack one of the modalities: it is kept out of attention and losses."""
        return True

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "CoAttentionNetwork":
        """Return the network with Xavier-uniform weights and tokens of standard deviation 0.02.

        Raises:
            SettingsError: Something is to be predicted elsewhere than at target tokens, there are not two modalities, or the
                decoder is to look behind a block that is not there.
        """
        require_places(outputs, possible=("target",), architecture="co_attention")
        if len(modalities) != STREAMS:
            found = ", ".join(modality.name for modality in modalities) or "none"
            raise SettingsError(f"co_attention takes two modalities; this recipe has {found}.")
        if not 1 <= self.level <= self.fusion_depth:
            raise SettingsError(
                f"The decoder looks behind block {self.level} of {self.fusion_depth} in which both modalities meet; give "
                "model.level between 1 and model.fusion_depth."
            )
        return CoAttentionNetwork(self, modalities, outputs=outputs)


class CoAttentionNetwork(Network):
    """Two encoders, fusion, a decoder with linear heads for the first modality, heads for the second, and one for pairs."""

    def __init__(self, config: CoAttention, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.first, self.second = (modality.name for modality in modalities)
        self.width, self.level, style = config.width, config.level, config.style
        self.num_prefix_tokens = STREAMS
        self.encoders = nn.ModuleDict(
            {
                modality.name: StreamEncoder(
                    modality, width=config.width, depth=config.depth, heads=config.heads, style=style
                )
                for modality in modalities
            }
        )
        self.fusion = nn.ModuleList(
            CoAttentionBlock(config.width, heads=config.heads, style=style) for _ in range(config.fusion_depth)
        )
        self.norms = nn.ModuleDict({name: style.norm(config.width) for name in self.encoders})
        self.level_norm = style.norm(config.width)
        self.decoder = config.decoder.build(
            Setting(
                modalities=self.modalities[:1],
                targets=dict.fromkeys(_dims(outputs, self.first), self.first),
                width=config.width,
                style=style,
                row_first=(),
            )
        )
        self.heads = _heads(outputs, self.first, lambda dim: nn.Linear(config.decoder.width, dim))
        self.word_heads = _heads(outputs, self.second, lambda dim: _word_head(config, dim))
        self.poolers = nn.ModuleDict({name: _pooler(config) for name in self.encoders})
        self.pair_head = nn.Linear(STREAMS * config.width, 1)
        xavier_(self)

    @property
    def reports(self) -> frozenset[str]:
        """See Network."""
        return frozenset({matching(self.first, self.second)})

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by name of the target, [batch, target, dim], and the scores of pairs, [batch, 2]."""
        shown = self._alone(inputs, plans)
        whole = self._alone(
            inputs, {modality.name: whole_plan(plans[modality.name], modality) for modality in self.modalities}
        )
        first, second = whole[self.first], whole[self.second]
        pictured, _ = self._met(shown[self.first], second, depth=self.level)
        _, written = self._fused(first, shown[self.second])
        scores = [self._score(first, second), self._score(first.rolled(), second)]
        return (
            self._decoded(pictured, plans[self.first])
            | self._guessed(written, plans[self.second])
            | {matching(self.first, self.second): torch.stack(scores, dim=1)}
        )

    def _alone(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Stream]:
        """Return what is visible of each modality, encoded without the other."""
        return {name: encoder(inputs[name], plans[name]) for name, encoder in self.encoders.items()}

    def _met(self, first: Stream, second: Stream, *, depth: int) -> tuple[Stream, Stream]:
        """Return both streams after the first `depth` blocks of fusion."""
        for block in self.fusion[:depth]:
            first, second = block(first, second)
        return first, second

    def _fused(self, first: Stream, second: Stream) -> tuple[Stream, Stream]:
        """Return both streams after all blocks of fusion and a norm."""
        met = self._met(first, second, depth=len(self.fusion))
        return (
            met[0]._replace(tokens=self.norms[self.first](met[0].tokens)),
            met[1]._replace(tokens=self.norms[self.second](met[1].tokens)),
        )

    def _decoded(self, pictured: Stream, plan: MaskPlan) -> dict[str, Tensor]:
        """Return what is predicted at the hidden tokens of the first modality, by target."""
        tokens = self.level_norm(pictured.tokens)
        padding = {} if plan.visible_padding is None else {self.first: plan.visible_padding}
        encoding = Encoding(prefix=tokens[:, :1], tokens={self.first: tokens[:, 1:]}, padding=padding)
        decoded = self.decoder(encoding, {self.first: plan})
        return {name: head(decoded[name]) for name, head in self.heads.items()}

    def _guessed(self, written: Stream, plan: MaskPlan) -> dict[str, Tensor]:
        """Return what is predicted at the target places of the second modality, all of which are visible, by target."""
        if plan.visible_ids is None:
            raise SettingsError(
                f"co_attention predicts tokens of '{self.second}' where it sees them; its masking hides them. "
                f"Give masking.{self.second} a MaskedLanguage."
            )
        length = self.modalities[1].num_tokens
        filler = written.tokens.new_zeros(1, 1, self.width)
        tokens = gather_tokens(scattered(written.places, plan, filler=filler, length=length), plan.target)
        return {name: head(tokens) for name, head in self.word_heads.items()}

    def _score(self, first: Stream, second: Stream) -> Float[Tensor, " batch"]:
        """Return how well the two of every pair belong together."""
        of_first, of_second = self._fused(first, second)
        pooled = [self.poolers[self.first](of_first.summary), self.poolers[self.second](of_second.summary)]
        scores: Tensor = self.pair_head(torch.cat(pooled, dim=1))[:, 0]
        return scores

    def encode(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return both class tokens, then the tokens of the first and of the second modality, fused and normed."""
        row, _ = self._encoding(inputs, lengths).joined()
        return row

    def represent(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """See Network: the mean of the fused tokens of what a sample has."""
        encoding = self._encoding(inputs, lengths)
        return mean_token(*replace(encoding, prefix=encoding.prefix[:, :0]).joined())

    def _encoding(self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None) -> Encoding:
        """Return all that samples have, fused; the class tokens are its prefix."""
        fused = dict(zip(self.encoders, self._fused(*self._whole(inputs, lengths).values()), strict=True))
        return Encoding(
            prefix=torch.stack([stream.summary for stream in fused.values()], dim=1),
            tokens={name: stream.places for name, stream in fused.items()},
            padding={name: marks for name, stream in fused.items() if (marks := stream.place_padding) is not None},
        )

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """See Network: the mean of the tokens of each modality before it meets the other."""
        return {
            name: mean_token(stream.places, stream.place_padding)
            for name, stream in self._whole(inputs, lengths).items()
        }

    def _whole(self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None) -> dict[str, Stream]:
        """Return all that samples have of each modality, encoded without the other."""
        return self._alone(inputs, everything_visible(self.modalities, inputs, lengths or {}))


def whole_plan(plan: MaskPlan, modality: Modality) -> MaskPlan:
    """Return the plan that shows all that `plan` shows or asks for, as it stands there, and asks for nothing."""
    if plan.visible_ids is not None:  # all of a text is shown already, some of it in disguise
        return MaskPlan(visible=plan.visible, target=plan.target[:, :0], visible_padding=plan.visible_padding)
    every = every_token(len(plan.visible), length=modality.num_tokens, device=plan.visible.device)
    unknown = neither_seen_nor_asked(plan, length=modality.num_tokens)
    return MaskPlan(visible=every, target=every[:, :0], visible_padding=unknown)


def _dims(outputs: Mapping[str, Output], modality: str) -> dict[str, int]:
    """Return how many values are predicted at each place of a modality, by target."""
    return {name: output.dim for name, output in outputs.items() if output.modality == modality}


def _heads(outputs: Mapping[str, Output], modality: str, head: Callable[[int], nn.Module]) -> nn.ModuleDict:
    """Return a head for every target of a modality."""
    return nn.ModuleDict({name: head(dim) for name, dim in _dims(outputs, modality).items()})


def _word_head(config: CoAttention, dim: int) -> nn.Sequential:
    """Return what makes scores of the tokens of a text (Devlin et al., arXiv:1810.04805, official code)."""
    return nn.Sequential(
        nn.Linear(config.width, config.width),
        nn.GELU(),
        config.style.norm(config.width),
        nn.Linear(config.width, dim),
    )


def _pooler(config: CoAttention) -> nn.Sequential:
    return nn.Sequential(nn.Linear(config.width, config.width), nn.Tanh())
