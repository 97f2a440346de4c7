"""An encoder of what is visible of several modalities, all in one row.

Mizrahi et al., arXiv:2312.06647, section 2.1.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Features, Modality, Text
from trainers.nn.blocks import BlockStyle, padding_bias, run_blocks, stack_of_blocks
from trainers.nn.stems import Stem, stem_for
from trainers.nn.token_row import Part, TokenRow, token_row


def is_sequence(modality: Modality) -> bool:
    """Tell whether the tokens of a modality stand one behind the other, and not in a grid: words, or vectors of words."""
    return isinstance(modality, Text) or (isinstance(modality, Features) and len(modality.grid) == 1)


class TokenEncoder(nn.Module):
    """Stems, `depth` blocks with `heads` heads over the visible tokens of all modalities, norm.

    A token of a grid is told its row and column (row first), one of a sequence how many visible tokens stand before it.
    """

    def __init__(
        self, modalities: Sequence[Modality], *, width: int, depth: int, heads: int, style: BlockStyle
    ) -> None:
        super().__init__()
        self.stems = nn.ModuleDict(
            {
                modality.name: stem_for(modality, width=width, first="row", with_kind=True, patch_bias=False)
                for modality in modalities
            }
        )
        self.blocks = stack_of_blocks(width, depth=depth, heads=heads, style=style)
        self.norm = style.norm(width)

    def kind_token(self, name: str) -> Float[Tensor, "1 1 width"]:
        """Return what tells of which modality a token is."""
        stem = self.stems[name]
        assert isinstance(stem, Stem)
        token = stem.places.kind_token
        assert token is not None
        return token

    def row(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> TokenRow:
        """Return what the plans show, of the modalities that they name, in the order of the recipe."""
        return token_row([self._part(stem, inputs, plans[name]) for name, stem in self.stems.items() if name in plans])

    def _part(self, stem: nn.Module, inputs: Mapping[str, Tensor], plan: MaskPlan) -> Part:
        assert isinstance(stem, Stem)
        index = order_of_visible(plan) if is_sequence(stem.modality) else plan.visible
        return Part(
            tokens=stem.unplaced(inputs[stem.modality.name], plan.visible, plan.visible_ids),
            places=stem.places()[index],
            padding=plan.visible_padding,
        )

    def forward(self, row: TokenRow) -> Float[Tensor, "batch row width"]:
        """Return the encoded tokens of a row."""
        encoded = run_blocks(self.blocks, row.tokens + row.places, padding_bias(row.padding))[-1]
        normed: Tensor = self.norm(encoded)
        return normed


def order_of_visible(plan: MaskPlan) -> Int[Tensor, "batch visible"]:
    """Return how many of the visible tokens of its sample stand before each of them; padding is behind all others."""
    places = plan.visible
    if plan.visible_padding is not None:
        places = places.masked_fill(plan.visible_padding, torch.iinfo(places.dtype).max)
    return places.argsort(dim=1, stable=True).argsort(dim=1)
