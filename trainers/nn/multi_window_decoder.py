"""A light decoder in whose blocks every head of attention has windows of its own size along the sequence of tokens.

Yadav et al., arXiv:2306.00561, section 3, and official code, `src/modules/layers.py`: near and far context in every block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from shards.errors import SettingsError
from trainers.nn.blocks import stack_of_blocks
from trainers.nn.decoders import Decoder, Encoded
from trainers.nn.embed import Gridded
from trainers.nn.gather import gather_tokens
from trainers.nn.positions import FixedPositions, sincos_1d

OFFSET_VARIANCE = 0.02
"""What the variances of a head's biases come to together, when they start."""


@dataclass(frozen=True, kw_only=True)
class MultiWindowDecoder:
    """`depth` blocks with `heads` heads, of which `global_heads` see all tokens, the others windows; see `head_windows`.

    Prefix tokens are left out: windows tile the tokens of the grid, and the published model has no others.

    Raises:
        SettingsError: There are not fewer global heads than heads.
    """

    width: int
    depth: int
    heads: int
    global_heads: int

    def __post_init__(self) -> None:
        if not 0 <= self.global_heads < self.heads:
            raise SettingsError(
                f"{self.global_heads} of {self.heads} heads were to see all tokens; give at least 0 and fewer than all, "
                "or choose a decoder without windows (GlobalDecoder)."
            )

    def build(self, modality: Gridded, encoded: Encoded) -> "MultiWindowDecoderNetwork":
        """See DecoderDesign.

        Raises:
            SettingsError: The number of tokens is a prime, so that no windows tile them, or heads do not divide the width.
        """
        return MultiWindowDecoderNetwork(self, modality, encoded)


class MultiWindowDecoderNetwork(Decoder):
    """Blocks act on the tokens of the whole grid in their order, with fixed positions along it.

    Attention is computed between all tokens, and is minus infinity outside of a window: one call for all heads.
    """

    def __init__(self, design: MultiWindowDecoder, modality: Gridded, encoded: Encoded) -> None:
        super().__init__(modality, encoded, width=design.width)
        length = modality.num_tokens
        windows = head_windows(length, heads=design.heads, global_heads=design.global_heads)
        # By the number of a token alone, where other decoders have rows and columns: windows run along the sequence too.
        places = torch.arange(length, dtype=torch.float64)
        self.positions = FixedPositions(sincos_1d(places, width=design.width).float())
        self.blocks = stack_of_blocks(design.width, depth=design.depth, heads=design.heads, style=encoded.style)
        self.offsets = nn.ModuleList(HeadOffsets(windows, length=length) for _ in range(design.depth))
        self.index: Tensor
        self.register_buffer("index", offset_index(windows, length=length), persistent=False)
        self.initialise()

    def decoded(
        self, prefix: Float[Tensor, "batch prefix width"], visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target width"]:
        """See Decoder."""
        tokens = self.filled(visible, plan)
        for block, offsets in zip(self.blocks, self.offsets, strict=True):
            tokens = block(tokens, offsets(self.index))
        return gather_tokens(tokens, plan.target)


class HeadOffsets(nn.Module):
    """A learned bias of attention for each head with windows and each offset that two tokens of one window can have."""

    def __init__(self, windows: Sequence[int], *, length: int) -> None:
        super().__init__()
        counts = _offset_counts(windows, length=length)
        spreads = [(OFFSET_VARIANCE / count) ** 0.5 for count in counts for _ in range(count)]
        self.positions = nn.Parameter(torch.randn(len(spreads)) * torch.tensor(spreads))
        self.fixed: Tensor
        self.register_buffer("fixed", torch.tensor([0.0, -torch.inf]), persistent=False)

    def forward(self, index: Int[Tensor, "heads tokens tokens"]) -> Float[Tensor, "1 heads tokens tokens"]:
        """Return what is added to the attention of the third axis' token to the fourth's, with an `offset_index`."""
        return torch.cat([self.positions, self.fixed])[index][None]


def head_windows(length: int, *, heads: int, global_heads: int) -> list[int]:
    """Return the window of each head, in tokens: the divisors of `length` from 2 on, then `length` of those that see all.

    Where there are more divisors than heads with windows, some are taken, evenly; where there are fewer, more heads see all.
    Raises SettingsError if there is none: `length` is a prime, or 1.
    """
    divisors = [window for window in range(2, length) if length % window == 0]
    if not divisors:
        raise SettingsError(
            f"No windows tile {length} tokens, a number without divisors. Change the sizes of the modality: "
            f"{max(length + 1, 4)} tokens can be cut, for instance."
        )
    count = min(heads - global_heads, len(divisors))
    chosen = [divisors[(2 * number + 1) * len(divisors) // (2 * count)] for number in range(count)]
    return chosen + [length] * (heads - count)


def offset_index(windows: Sequence[int], *, length: int) -> Int[Tensor, "heads {length} {length}"]:
    """Return which value of HeadOffsets stands between any two tokens, for each head.

    The last but one, zero, where a head sees all tokens; the last, minus infinity, where two are not in one window.
    """
    place = torch.arange(length)
    apart = place[:, None] - place[None, :]
    counts = _offset_counts(windows, length=length)
    total, begins, index = sum(counts), 0, []
    for window, count in zip(windows, counts, strict=True):
        together = place[:, None] // window == place[None, :] // window
        within = apart + begins + window - 1 if count else torch.full_like(apart, total)
        index.append(torch.where(together, within, total + 1))
        begins += count
    return torch.stack(index)


def _offset_counts(windows: Sequence[int], *, length: int) -> list[int]:
    """Return how many offsets there are in the window of each head; 0 where it sees all tokens, which has no biases."""
    return [0 if window == length else 2 * window - 1 for window in windows]
