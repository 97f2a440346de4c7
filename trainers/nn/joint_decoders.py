"""Decoders of several modalities: one row of all their tokens, or a decoder for each target that looks at all of them.

Both take an `Encoding` and give decoded tokens by target, at the target places of the plan of its modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from trainers.nn.blocks import Block, BlockStyle, padding_bias, stack_of_blocks
from trainers.nn.cross_attention import CrossAttention
from trainers.nn.gather import gather_tokens, scatter_tokens
from trainers.nn.initialise import TOKEN_STD
from trainers.nn.joint_encoder import Encoding, joined_padding
from trainers.nn.positions import Half
from trainers.nn.stems import Places


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a decoder has to fit.

    Args:
        modalities: Whose tokens there are.
        targets: The modality of each target.
        width: Values of an encoded token.
        style: That of the blocks.
        row_first: Modalities whose positions have the row in the first half.
    """

    modalities: Sequence[Modality]
    targets: Mapping[str, str]
    width: int
    style: BlockStyle
    row_first: tuple[str, ...]

    def places(self, modality: Modality, *, width: int, with_kind: bool) -> Places:
        """Return how the tokens of a modality are placed in a decoder."""
        first: Half = "row" if modality.name in self.row_first else "column"
        return Places(modality, width=width, first=first, with_kind=with_kind)


@runtime_checkable
class JointDecoderDesign(Protocol):
    """The description of a decoder of several modalities."""

    @property
    def width(self) -> int:
        """Values of a decoded token."""
        ...

    def build(self, setting: Setting) -> nn.Module:
        """Return the decoder: (Encoding, plans) -> by target, [batch, target, width]."""
        ...


@dataclass(frozen=True, kw_only=True)
class JointDecoder:
    """`depth` blocks with `heads` heads over all tokens of all modalities, mask tokens where nothing was seen.

    Places that are neither seen nor asked for are left out. `own_mask_tokens` tells whether each modality has its own.
    (Gong et al., arXiv:2210.07839, section 3.2; Geng et al., arXiv:2205.14204, section 3.)
    """

    width: int
    depth: int
    heads: int
    own_mask_tokens: bool
    with_kind: bool = True

    def build(self, setting: Setting) -> "JointDecoderNetwork":
        """See JointDecoderDesign."""
        return JointDecoderNetwork(self, setting)


class JointDecoderNetwork(nn.Module):
    """Linear bridge, mask tokens, positions, blocks, norm."""

    def __init__(self, design: JointDecoder, setting: Setting) -> None:
        super().__init__()
        self.targets = dict(setting.targets)
        self.embed = nn.Linear(setting.width, design.width)
        owners = [modality.name for modality in setting.modalities] if design.own_mask_tokens else [""]
        self.fillers = nn.ModuleList(Filler(design.width) for _ in owners)
        self.places = nn.ModuleDict(
            {
                modality.name: setting.places(modality, width=design.width, with_kind=design.with_kind)
                for modality in setting.modalities
            }
        )
        self.blocks = stack_of_blocks(design.width, depth=design.depth, heads=design.heads, style=setting.style)
        self.norm = setting.style.norm(design.width)

    def forward(self, encoding: Encoding, plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the normed tokens at the target places, by target."""
        prefix = self.embed(encoding.prefix)
        filled, unknown = {}, {}
        for number, (name, places) in enumerate(self.places.items()):
            plan, table = plans[name], places()
            filler = self.fillers[number % len(self.fillers)]()
            tokens = scattered(self.embed(encoding.tokens[name]), plan, filler=filler, length=len(table))
            filled[name] = tokens + table
            if (none := neither_seen_nor_asked(plan, length=len(table))) is not None:
                unknown[name] = none
        bias = padding_bias(joined_padding(prefix, filled, unknown))
        row = torch.cat([prefix, *filled.values()], dim=1)
        for block in self.blocks:
            row = block(row, bias)
        parts = torch.split(row, [prefix.shape[1], *(part.shape[1] for part in filled.values())], dim=1)[1:]
        decoded = dict(zip(filled, parts, strict=True))
        return {target: self.norm(gather_tokens(decoded[of], plans[of].target)) for target, of in self.targets.items()}


class Filler(nn.Module):
    """The learned token that stands where nothing was seen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.token, std=TOKEN_STD)

    def forward(self) -> Float[Tensor, "1 1 width"]:
        """Return the token."""
        return self.token


@dataclass(frozen=True, kw_only=True)
class TargetDecoders:
    """A decoder for each target: places of its modality ask all that was seen, then `depth` blocks among themselves.

    Bachmann et al., arXiv:2204.01678, section 3.2 and official code: what comes of the asking is not added to what asked.
    """

    width: int
    depth: int
    heads: int

    def build(self, setting: Setting) -> "TargetDecodersNetwork":
        """See JointDecoderDesign."""
        return TargetDecodersNetwork(self, setting)


class TargetDecodersNetwork(nn.Module):
    """One `TargetDecoder` by target."""

    def __init__(self, design: TargetDecoders, setting: Setting) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict(
            {target: TargetDecoder(design, setting, of=of) for target, of in setting.targets.items()}
        )

    def forward(self, encoding: Encoding, plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the tokens at the target places, by target."""
        return {target: decoder(encoding, plans) for target, decoder in self.decoders.items()}


class TargetDecoder(nn.Module):
    """Bridge, questions and what they are asked of, an answer, blocks; no norm at the end."""

    def __init__(self, design: TargetDecoders, setting: Setting, *, of: str) -> None:
        super().__init__()
        width, style = design.width, setting.style
        self.of = of
        self.embed = nn.Linear(setting.width, width)
        self.filler = Filler(width)
        self.places = nn.ModuleDict(
            {modality.name: setting.places(modality, width=width, with_kind=True) for modality in setting.modalities}
        )
        self.question_norm, self.context_norm, self.answer_norm = (style.norm(width) for _ in range(3))
        self.attention = CrossAttention(width, heads=design.heads, bias=style.has_bias)
        self.perceptron = style.perceptron_of(width)
        self.blocks = nn.ModuleList(Block(width, heads=design.heads, style=style) for _ in range(design.depth))

    def forward(self, encoding: Encoding, plans: Mapping[str, MaskPlan]) -> Float[Tensor, "batch target width"]:
        """Return the decoded tokens at the target places of its modality."""
        plan, table = plans[self.of], self.places[self.of]()
        bridged = {name: self.embed(tokens) for name, tokens in encoding.tokens.items()}
        asking = scattered(bridged[self.of], plan, filler=self.filler(), length=len(table)) + table
        placed = {name: tokens + self.places[name]()[plans[name].visible] for name, tokens in bridged.items()}
        context, padding = Encoding(
            prefix=self.embed(encoding.prefix), tokens=placed, padding=encoding.padding
        ).joined()
        tokens = self.attention(self.question_norm(asking), self.context_norm(context), padding_bias(padding))
        tokens = tokens + self.perceptron(self.answer_norm(tokens))
        bias = padding_bias(neither_seen_nor_asked(plan, length=len(table)))
        for block in self.blocks:
            tokens = block(tokens, bias)
        return gather_tokens(tokens, plan.target)


def scattered(
    visible: Float[Tensor, "batch visible width"],
    plan: MaskPlan,
    *,
    filler: Float[Tensor, "1 1 width"],
    length: int,
) -> Float[Tensor, "batch {length} width"]:
    """Return visible tokens at their places among `length`, `filler` everywhere else."""
    if plan.visible_padding is None:
        return scatter_tokens(visible, plan.visible, filler=filler, length=length)
    # What is padding is put one place behind the last, and dropped.
    index = plan.visible.masked_fill(plan.visible_padding, length)
    return scatter_tokens(visible, index, filler=filler, length=length + 1)[:, :length]


def neither_seen_nor_asked(plan: MaskPlan, *, length: int) -> Bool[Tensor, "batch {length}"] | None:
    """Return which of `length` places are neither visible nor a target; None if there is none of these."""
    whole = plan.visible_padding is None and plan.target_padding is None
    # Where what is read is given by ids, as in masked language modelling, places may be both.
    if whole and plan.visible_ids is None and plan.visible.shape[1] + plan.target.shape[1] == length:
        return None
    batch = plan.visible.shape[0]
    none = torch.ones(batch, length + 1, dtype=torch.bool, device=plan.visible.device)
    for places, padding in ((plan.visible, plan.visible_padding), (plan.target, plan.target_padding)):
        none.scatter_(1, places if padding is None else places.masked_fill(padding, length), False)
    return none[:, :length]
