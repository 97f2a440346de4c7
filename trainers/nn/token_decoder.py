"""A decoder that says which ids are hidden: those of a grid all at once, those of a text one after the other.

Mizrahi et al., arXiv:2312.06647, section 2.1.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, one_hot

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality, Text
from shards.errors import SettingsError
from trainers.nn.blocks import BlockStyle, blocked_bias, padding_bias
from trainers.nn.cross_block import CrossBlock
from trainers.nn.initialise import TOKEN_STD
from trainers.nn.network import Output
from trainers.nn.positions import FixedPositions, position_table, sincos_1d
from trainers.nn.token_row import Part, TokenRow, token_row

WRITTEN_BESIDE = 2
"""A text that is hidden as a whole is written between two sentinels."""
CERTAIN = 100.0
"""The score of a word that is given, where those of all others are 0."""


class TokenDecoder(nn.Module):
    """A bridge from what was encoded, questions, `depth` blocks with `heads` heads that ask it, norm, scores of ids.

    The tokens of a target see those of the same target: in a grid, where mask tokens stand, all; in a text, where the id
    stands that comes before the one that is wanted, those before. Ids are read and scored by the same vectors. Positions are
    those of the encoder; tokens of a text are counted from where the target begins.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        outputs: Mapping[str, Output],
        *,
        width: int,
        depth: int,
        heads: int,
        style: BlockStyle,
    ) -> None:
        super().__init__()
        self.modalities = {name: modalities[output.modality] for name, output in outputs.items()}
        for name, output in outputs.items():
            require_scores(name, output, self.modalities[name])
        self.embed = nn.Linear(width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.ModuleDict(
            {name: FixedPositions(decoded_table(modality, width=width)) for name, modality in self.modalities.items()}
        )
        self.blocks = nn.ModuleList(CrossBlock(width, heads=heads, style=style) for _ in range(depth))
        self.norm = style.norm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, output.dim, bias=False) for name, output in outputs.items()})
        nn.init.normal_(self.mask_token, std=TOKEN_STD)

    @property
    def targets(self) -> dict[str, str]:
        """The name of the target by that of its modality; the last one where a modality has several."""
        return {modality.name: name for name, modality in self.modalities.items()}

    def context(self, seen: TokenRow, encoded: Float[Tensor, "batch seen width"]) -> Float[Tensor, "batch seen width"]:
        """Return what can be asked: encoded tokens behind the bridge, with their places once more."""
        bridged: Tensor = self.embed(encoded)
        return bridged + seen.places

    def row(
        self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan], kind_tokens: Mapping[str, Tensor]
    ) -> TokenRow:
        """Return the questions of all targets; `kind_tokens` [1, 1, width] tell modalities apart."""
        parts = []
        for name, modality in self.modalities.items():
            plan, kind = plans[modality.name], kind_tokens[modality.name]
            part = self._words(name, inputs, plan) if isinstance(modality, Text) else self._grid(name, plan)
            parts.append(Part(tokens=part.tokens, places=part.places + kind, padding=part.padding))
        return token_row(parts)

    def _grid(self, name: str, plan: MaskPlan) -> Part:
        places = self.positions[name]()[plan.target]
        return Part(tokens=self.mask_token.expand_as(places), places=places, padding=plan.target_padding)

    def _words(self, name: str, inputs: Mapping[str, Tensor], plan: MaskPlan) -> Part:
        """Return the ids before those that are wanted; the first is wanted nowhere, so there is one less."""
        ids = written_ids(inputs[self.modalities[name].name], plan)
        head = self.heads[name]
        assert isinstance(head, nn.Linear)
        tokens = embedding(ids[:, :-1], head.weight)
        places = self.positions[name]()[: tokens.shape[1]].expand_as(tokens)
        return Part(
            tokens=tokens,
            places=places,
            padding=None if plan.target_padding is None else plan.target_padding[:, 1:],
        )

    def blocked(self, row: TokenRow) -> Bool[Tensor, "batch row row"]:
        """Return which questions (last axis) each question does not see: other targets, later words, padding."""
        is_text = torch.tensor([isinstance(modality, Text) for modality in self.modalities.values()])
        others = row.owners[:, :, None] != row.owners[:, None, :]
        later = torch.ones(others.shape[1:], dtype=torch.bool, device=others.device).triu(1)
        return others | row.padding[:, None, :] | (later & is_text.to(others.device)[row.owners][:, :, None])

    def forward(
        self,
        row: TokenRow,
        context: Float[Tensor, "batch seen width"],
        context_padding: Bool[Tensor, "batch seen"],
    ) -> Float[Tensor, "batch row width"]:
        """Return the decoded questions."""
        tokens = row.tokens + row.places
        bias, context_bias = blocked_bias(self.blocked(row)), padding_bias(context_padding)
        for block in self.blocks:
            tokens = block(tokens, context, bias, context_bias)
        normed: Tensor = self.norm(tokens)
        return normed

    def scores(
        self,
        row: TokenRow,
        decoded: Float[Tensor, "batch row width"],
        inputs: Mapping[str, Tensor],
        plans: Mapping[str, MaskPlan],
    ) -> dict[str, Float[Tensor, "batch _ ids"]]:
        """Return the score of every id at the target places, by target; the first word of a text is given, and certain."""
        found = {}
        for (name, modality), tokens in zip(self.modalities.items(), row.parts_of(decoded), strict=True):
            scores = self.heads[name](tokens)
            if isinstance(modality, Text):
                first = written_ids(inputs[modality.name], plans[modality.name])[:, :1]
                given = one_hot(first, scores.shape[2]).to(scores.dtype) * CERTAIN
                scores = torch.cat([given, scores], dim=1)
            found[name] = scores
        return found


def written_ids(ids: Int[Tensor, "batch words"], plan: MaskPlan) -> Int[Tensor, "batch target"]:
    """Return what has to be written of a text: what the plan says, or else what stands at its target places."""
    return ids.gather(1, plan.target) if plan.target_ids is None else plan.target_ids


def decoded_table(modality: Modality, *, width: int) -> Float[Tensor, "tokens width"]:
    """Return the positions of what may be decoded of a modality: those of its grid, or of as many words as can be written."""
    if isinstance(modality, Text):
        places = torch.arange(modality.num_tokens + WRITTEN_BESIDE, dtype=torch.float64)
        return sincos_1d(places, width=width).float()
    return position_table(modality, width=width, first="row")


def require_scores(name: str, output: Output, modality: Modality) -> None:
    """Raise SettingsError if what is predicted of a text are not scores of all ids, which the decoder reads too."""
    if isinstance(modality, Text) and output.dim != modality.tokenizer.vocabulary:
        raise SettingsError(
            f"'{name}' has {output.dim} values for each word of '{modality.name}', whose tokenizer has "
            f"{modality.tokenizer.vocabulary} ids; token_transformer writes texts id by id, so predict TextIds of it."
        )
