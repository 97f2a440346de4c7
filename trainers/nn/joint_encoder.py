"""An encoder of several modalities: blocks of their own, if there are any, then blocks that all of them share.

Whatever a plan hides is not seen; padding and absent modalities are kept out of the attention.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from trainers.nn.blocks import Block, BlockStyle, padding_bias, stack_of_blocks
from trainers.nn.initialise import TOKEN_STD
from trainers.nn.positions import Half
from trainers.nn.stems import stem_for

JOINT = "joint"
"""The stream of all modalities together."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What is known of a batch.

    Args:
        prefix: Tokens that belong to no modality, [batch, prefix, width].
        tokens: By modality, the tokens at the visible places, in the order of the plan, [batch, visible, width].
        padding: By modality, True where such a place is none; one that is not named has none.
    """

    prefix: Float[Tensor, "batch prefix width"]
    tokens: Mapping[str, Float[Tensor, "batch _ width"]]
    padding: Mapping[str, Bool[Tensor, "batch _"]]

    def joined(self) -> tuple[Float[Tensor, "batch all width"], Bool[Tensor, "batch all"] | None]:
        """Return all tokens in one row, and which of them are none; None if all are."""
        parts = [self.prefix, *self.tokens.values()]
        return torch.cat(parts, dim=1), joined_padding(self.prefix, self.tokens, self.padding)

    def split(self, row: Float[Tensor, "batch all width"]) -> "Encoding":
        """Return the encoding whose tokens are those of `row`, which are in the order of `joined`."""
        sizes = [self.prefix.shape[1], *(part.shape[1] for part in self.tokens.values())]
        prefix, *parts = torch.split(row, sizes, dim=1)
        return Encoding(prefix=prefix, tokens=dict(zip(self.tokens, parts, strict=True)), padding=self.padding)


def joined_padding(
    prefix: Float[Tensor, "batch prefix width"],
    tokens: Mapping[str, Float[Tensor, "batch _ width"]],
    padding: Mapping[str, Bool[Tensor, "batch _"]],
) -> Bool[Tensor, "batch all"] | None:
    """Return which tokens are none where a prefix and the tokens of the modalities stand in one row; None if all are some."""
    if not padding:
        return None
    rows = {"": prefix, **tokens}
    marks = [
        padding[name] if name in padding else torch.zeros(part.shape[:2], dtype=torch.bool, device=part.device)
        for name, part in rows.items()
    ]
    return torch.cat(marks, dim=1)


class StreamBlock(Block):
    """A block whose attention and perceptron serve several streams, each of which has norms of its own.

    Gong et al., arXiv:2210.07839, section 3.2.
    """

    def __init__(self, width: int, *, heads: int, style: BlockStyle, streams: Sequence[str]) -> None:
        super().__init__(width, heads=heads, style=style)
        self.stream_norms = nn.ModuleDict(
            {name: nn.ModuleList(style.norm(width) for _ in range(2)) for name in streams}
        )

    def of_stream(
        self, tokens: Float[Tensor, "batch tokens width"], bias: Tensor | None, stream: str
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of a stream after the block."""
        first, second = self.stream_norms[stream].children()
        return self.normed(tokens, bias, first, second)


class JointEncoder(nn.Module):
    """Stems, own blocks, joint blocks, norms.

    With `streams`, the joint blocks also serve each modality alone, by norms of its own.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        *,
        width: int,
        depth: int,
        own_depth: int,
        heads: int,
        style: BlockStyle,
        class_token: bool,
        with_kind: bool,
        final_norm: bool,
        streams: bool,
        row_first: Iterable[str],
    ) -> None:
        super().__init__()
        names = [modality.name for modality in modalities]
        halves: dict[str, Half] = dict.fromkeys(row_first, "row")
        self.stems = nn.ModuleDict(
            {
                modality.name: stem_for(
                    modality, width=width, first=halves.get(modality.name, "column"), with_kind=with_kind
                )
                for modality in modalities
            }
        )
        self.own = nn.ModuleDict(
            {name: stack_of_blocks(width, depth=own_depth, heads=heads, style=style) for name in names}
        )
        self.class_token = nn.Parameter(torch.empty(1, 1, width)) if class_token else None
        served = names if streams else []
        self.blocks = nn.ModuleList(StreamBlock(width, heads=heads, style=style, streams=served) for _ in range(depth))
        self.norm = style.norm(width) if final_norm else nn.Identity()
        self.stream_norms = nn.ModuleDict({name: style.norm(width) for name in served})
        self.width = width
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=TOKEN_STD)

    def alone(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> Encoding:
        """Return the visible tokens after the blocks of their own modality."""
        tokens, padding = {}, {}
        for name, stem in self.stems.items():
            plan = plans[name]
            tokens[name] = stem(inputs[name], plan.visible, plan.visible_ids)
            if plan.visible_padding is not None:
                padding[name] = plan.visible_padding
            bias = padding_bias(plan.visible_padding)
            for block in self.own[name].children():
                tokens[name] = block(tokens[name], bias)
        batch = len(next(iter(tokens.values())))
        prefix = next(iter(tokens.values())).new_zeros(batch, 0, self.width)
        if self.class_token is not None:
            prefix = self.class_token.expand(batch, -1, -1)
        return Encoding(prefix=prefix, tokens=tokens, padding=padding)

    def together(self, alone: Encoding) -> Encoding:
        """Return all tokens after the joint blocks and the norm."""
        row, padding = alone.joined()
        bias = padding_bias(padding)
        for block in self.blocks:
            row = block(row, bias)
        return alone.split(self.norm(row))

    def stream(self, alone: Encoding, name: str) -> Float[Tensor, "batch visible width"]:
        """Return the tokens of one modality after the joint blocks, in which they saw each other only, and a norm."""
        tokens, bias = alone.tokens[name], padding_bias(alone.padding.get(name))
        for block in self.blocks:
            assert isinstance(block, StreamBlock)
            tokens = block.of_stream(tokens, bias, name)
        normed: Tensor = self.stream_norms[name](tokens)
        return normed
