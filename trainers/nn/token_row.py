"""The tokens of several modalities in one row, without the gaps that padding would leave.

A plan fills the rows of each modality up to its longest sample. Where budgets are shared out anew for every sample, most of
what would stand side by side is padding; here the real tokens of each sample come first, in their order, and the row is as
long as the sample with most of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trainers.nn.gather import gather_tokens


@dataclass(frozen=True, kw_only=True)
class Part:
    """The tokens of one modality.

    Args:
        tokens: What stands there, [batch, tokens, width].
        places: Where that is, and of which modality, [batch, tokens, width].
        padding: True where there is no token; None if there is one everywhere.
    """

    tokens: Float[Tensor, "batch tokens width"]
    places: Float[Tensor, "batch tokens width"]
    padding: Bool[Tensor, "batch tokens"] | None

    @property
    def length(self) -> int:
        """Tokens of a sample, padding included."""
        return self.tokens.shape[1]

    @property
    def is_none(self) -> Bool[Tensor, "batch tokens"]:
        """Where there is no token."""
        if self.padding is not None:
            return self.padding
        return torch.zeros(self.tokens.shape[:2], dtype=torch.bool, device=self.tokens.device)


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """The tokens of several parts in one row.

    Args:
        tokens: What stands there, zero where there is no token, [batch, row, width].
        places: Where that is, and of which modality, likewise.
        padding: True where there is no token, which is only behind the last one, [batch, row].
        owners: The number of the part, [batch, row].
        slots: Where in the row each token of the parts side by side went; 0 where there is none.
        lengths: Tokens of each part, padding included.
    """

    tokens: Float[Tensor, "batch row width"]
    places: Float[Tensor, "batch row width"]
    padding: Bool[Tensor, "batch row"]
    owners: Int[Tensor, "batch row"]
    slots: Int[Tensor, "batch all"]
    lengths: tuple[int, ...]

    def parts_of(self, row: Float[Tensor, "batch row width"]) -> tuple[Float[Tensor, "batch _ width"], ...]:
        """Return what a row says of the tokens of each part, in their order; what it says of padding means nothing."""
        parts: tuple[Tensor, ...] = torch.split(gather_tokens(row, self.slots), list(self.lengths), dim=1)
        return parts


def token_row(parts: Sequence[Part]) -> TokenRow:
    """Return the row of some parts, real tokens first, in the order of the parts; at least one token long."""
    lengths = tuple(part.length for part in parts)
    none = torch.cat([part.is_none for part in parts], dim=1)
    order = none.to(torch.uint8).argsort(dim=1, stable=True)
    longest = max(int((~none).sum(dim=1).max()), 1)
    kept = order[:, :longest]
    padding = none.gather(1, kept)
    owners = torch.repeat_interleave(torch.tensor(lengths)).to(none.device)
    tokens, places = (
        # A sample that shows nothing at all is asked all the same, and must not tell what stands at padding.
        gather_tokens(torch.cat(values, dim=1), kept).masked_fill(padding[..., None], 0.0)
        for values in ([part.tokens for part in parts], [part.places for part in parts])
    )
    return TokenRow(
        tokens=tokens,
        places=places,
        padding=padding,
        owners=owners[kept],
        slots=order.argsort(dim=1).masked_fill(none, 0),
        lengths=lengths,
    )
