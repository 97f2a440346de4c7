"""A light decoder whose tokens see those of their own window of the grid; every second block cuts the windows elsewhere.

The blocks are those of Swin Transformer V2 (Liu et al., arXiv:2111.09883, section 3): norms after the branches, attention by
cosines, biases of attention that a small network computes from logarithms of distances. Huang et al. (arXiv:2207.06405,
section 3.3) decode sound with them; details follow their official code, `timm_patch/swin_transformer.py`.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from pipelines.masking.plan import MaskPlan
from shards.errors import SettingsError
from trainers.nn.blocks import BlockStyle
from trainers.nn.decoders import Decoder, Encoded
from trainers.nn.embed import Gridded
from trainers.nn.gather import gather_tokens

HIDDEN = 384
"""Values between the two layers that compute biases."""
DROPPED = 0.1
"""The share of those, and of the biases, that is left out in training."""
LEAST_TEMPERATURE = 0.01
LEAST_LENGTH = 1e-6
"""Nothing is divided by a vector that is shorter than this."""
WALL = -100.0
"""What is added to the attention between two tokens of one window that are not neighbours in the grid."""

Pair = tuple[int, int]
"""Of rows and of columns."""


@dataclass(frozen=True, kw_only=True)
class WindowDecoder:
    """`depth` blocks with `heads` heads, in which tokens of one window see each other; prefix tokens are left out.

    Args:
        width: Values of a token.
        depth: Blocks.
        heads: Heads of attention.
        window: Rows and columns of a window. A side of the grid that is shorter is the side of its windows.
        shift: By how many rows and columns the windows of every second block are moved; 0 along sides with one window.

    Raises:
        SettingsError: A window is empty, or is moved by its whole side or more.
    """

    width: int
    depth: int
    heads: int
    window: Pair
    shift: Pair

    def __post_init__(self) -> None:
        if any(not 0 <= shift < side for shift, side in zip(self.shift, self.window, strict=True)):
            raise SettingsError(
                f"Windows of {_by(self.window)} tokens cannot be moved by {_by(self.shift)}: give a window with sides of at "
                "least 1, and a shift of at least 0 that is less than them."
            )

    def build(self, modality: Gridded, encoded: Encoded) -> "WindowDecoderNetwork":
        """See DecoderDesign.

        Raises:
            SettingsError: The modality has more than rows and columns, windows do not tile it, or heads not the width.
        """
        return WindowDecoderNetwork(self, modality, encoded)


class WindowDecoderNetwork(Decoder):
    """Blocks act on the tokens of the whole grid, row by row; even ones cut windows from the corner, odd ones moved."""

    def __init__(self, design: WindowDecoder, modality: Gridded, encoded: Encoded) -> None:
        super().__init__(modality, encoded, width=design.width)
        cuts = [_fitting_windows(design, modality, shift=shift) for shift in ((0, 0), design.shift)]
        self.blocks = nn.Sequential(
            *(
                WindowBlock(design.width, heads=design.heads, windows=cuts[number % 2], style=encoded.style)
                for number in range(design.depth)
            )
        )
        self.initialise()

    def decoded(
        self, prefix: Float[Tensor, "batch prefix width"], visible: Float[Tensor, "batch visible width"], plan: MaskPlan
    ) -> Float[Tensor, "batch target width"]:
        """See Decoder."""
        return gather_tokens(self.blocks(self.filled(visible, plan)), plan.target)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a grid of tokens is cut into windows of `size`, the first of which begins `shift` rows and columns from the corner.

    Windows that reach over an edge go on at the opposite one.
    """

    grid: Pair
    size: Pair
    shift: Pair

    @property
    def count(self) -> int:
        """How many windows there are."""
        return (self.grid[0] // self.size[0]) * (self.grid[1] // self.size[1])

    def cut(self, tokens: Shaped[Tensor, "batch tokens width"]) -> Shaped[Tensor, "batch windows area width"]:
        """Return the tokens by window, both row by row."""
        laid = rearrange(tokens, "batch (row column) width -> batch row column width", row=self.grid[0])
        moved = laid.roll((-self.shift[0], -self.shift[1]), dims=(1, 2))
        return rearrange(
            moved,
            "batch (down y) (across x) width -> batch (down across) (y x) width",
            y=self.size[0],
            x=self.size[1],
        )

    def joined(self, tokens: Shaped[Tensor, "batch windows area width"]) -> Shaped[Tensor, "batch tokens width"]:
        """Return tokens that were cut to their places in the grid."""
        moved = rearrange(
            tokens,
            "batch (down across) (y x) width -> batch (down y) (across x) width",
            down=self.grid[0] // self.size[0],
            y=self.size[0],
        )
        laid = moved.roll(self.shift, dims=(1, 2))
        return rearrange(laid, "batch row column width -> batch (row column) width")

    def walls(self) -> Float[Tensor, "windows area area"]:
        """Return what is added to attention within windows: nothing, but -100 across the edges of the grid."""
        rows, columns = (torch.arange(side) < shift for side, shift in zip(self.grid, self.shift, strict=True))
        beyond = 2 * rows[:, None].int() + columns[None, :].int()
        side = self.cut(beyond.reshape(1, -1, 1))[0, ..., 0]
        return (side[:, :, None] != side[:, None, :]).float() * WALL


class WindowBlock(nn.Module):
    """Attention within windows, then a perceptron; what each gives is normed before it is added."""

    def __init__(self, width: int, *, heads: int, windows: Windows, style: BlockStyle) -> None:
        super().__init__()
        self.windows = windows
        self.attention = WindowAttention(width, heads=heads, windows=windows)
        self.norm1 = style.norm(width)
        self.perceptron = style.perceptron_of(width)
        self.norm2 = style.norm(width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Mix the tokens of each window, then transform each token."""
        mixed: Tensor = tokens + self.norm1(self.windows.joined(self.attention(self.windows.cut(tokens))))
        transformed: Tensor = mixed + self.norm2(self.perceptron(mixed))
        return transformed


class WindowAttention(nn.Module):
    """Attention by the cosine of query and key, divided by a learned temperature of each head, at least 0.01, plus a bias.

    Vectors shorter than 1e-6 are divided by that; the official code bounds the product of both lengths so instead.
    """

    def __init__(self, width: int, *, heads: int, windows: Windows) -> None:
        super().__init__()
        if width % heads:
            raise SettingsError(f"a width of {width} cannot be split into {heads} attention heads of equal width")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.ones(heads))
        self.offsets = OffsetBias(windows.size, heads=heads)
        self.walls: Tensor
        self.register_buffer("walls", windows.walls(), persistent=False)

    def forward(self, tokens: Float[Tensor, "batch windows area width"]) -> Float[Tensor, "batch windows area width"]:
        """Let every token attend to the tokens of its window."""
        query, key, value = rearrange(
            self.qkv(tokens),
            "batch windows area (three heads dim) -> three batch (windows heads) area dim",
            three=3,
            heads=self.heads,
        )
        temperature = self.temperature.clamp(min=LEAST_TEMPERATURE).repeat(len(self.walls))
        directions = normalize(query, dim=-1, eps=LEAST_LENGTH) / temperature[:, None, None]
        mixed = scaled_dot_product_attention(
            directions.to(value.dtype),
            normalize(key, dim=-1, eps=LEAST_LENGTH).to(value.dtype),
            value,
            self.bias().to(value.dtype),
            scale=1.0,
        )
        joined: Tensor = self.projection(
            rearrange(mixed, "batch (windows heads) area dim -> batch windows area (heads dim)", heads=self.heads)
        )
        return joined

    def bias(self) -> Float[Tensor, "1 windows_and_heads area area"]:
        """Return what is added to attention, head by head in window by window."""
        bias: Tensor = self.offsets() + self.walls[:, None]
        return bias.flatten(0, 1)[None]


class OffsetBias(nn.Module):
    """A bias of attention for each offset within a window and each head: two layers, of the logarithms of the distances.

    In training a tenth of the hidden values and of the biases is left out, drawn from torch's generator.
    """

    def __init__(self, size: Pair, *, heads: int) -> None:
        super().__init__()
        self.expand = nn.Linear(2, HIDDEN)
        self.contract = nn.Linear(HIDDEN, heads)
        self.dropout = nn.Dropout(DROPPED)
        self.distances: Tensor
        self.register_buffer("distances", log_offsets(size), persistent=False)

    def forward(self) -> Float[Tensor, "heads area area"]:
        """Return the bias of the second axis' token to that of the third."""
        hidden = self.dropout(self.expand(self.distances).relu())
        bias: Tensor = self.dropout(self.contract(hidden))
        return rearrange(bias, "asks asked heads -> heads asks asked")


def log_offsets(size: Pair) -> Float[Tensor, "area area 2"]:
    """Return sign(d) log(1 + |d|) of the offset d, in rows and in columns, of every token of a window from every other."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=-1).float()
    offsets = places[:, None] - places[None, :]
    return offsets.sign() * offsets.abs().log1p()


def _fitting_windows(design: WindowDecoder, modality: Gridded, *, shift: Pair) -> Windows:
    """Return the windows of a modality; raises SettingsError if there are none that tile it."""
    if len(modality.grid) != 2:
        raise SettingsError(
            f"Windows of rows and columns were asked for, but '{modality.name}' has {len(modality.grid)} axes of tokens. "
            "Choose a decoder whose tokens all see each other (GlobalDecoder)."
        )
    rows, columns = modality.grid
    size = min(rows, design.window[0]), min(columns, design.window[1])
    if rows % size[0] or columns % size[1]:
        raise SettingsError(_do_not_tile(design, (rows, columns), name=modality.name))
    moved = shift[0] if rows > size[0] else 0, shift[1] if columns > size[1] else 0
    return Windows(grid=(rows, columns), size=size, shift=moved)


def _do_not_tile(design: WindowDecoder, grid: Pair, *, name: str) -> str:
    sides = list(zip(grid, design.window, strict=True))
    whole = tuple(-(-tokens // side) * side for tokens, side in sides)
    smaller = tuple(max(n for n in range(1, side + 1) if tokens % n == 0) for tokens, side in sides)
    shift = tuple(min(moved, side // 2) for moved, side in zip(design.shift, smaller, strict=True))
    return (
        f"Windows of {_by(design.window)} tokens do not tile the {_by(grid)} tokens of '{name}'. Set its sizes "
        f"(--set modalities.{name}...) so that there are {_by(whole)} tokens, for instance, or other windows: "
        f"--set model.decoder.window={smaller[0]},{smaller[1]} --set model.decoder.shift={shift[0]},{shift[1]}"
    )


def _by(pair: tuple[int, ...]) -> str:
    return f"{pair[0]} x {pair[1]}"
