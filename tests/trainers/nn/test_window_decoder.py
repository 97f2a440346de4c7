"""Decoders of windows: who sees whom, and which grids can be cut."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Clip, Image, LogMel
from shards.errors import SettingsError
from trainers.nn.blocks import BlockStyle
from trainers.nn.decoders import Encoded
from trainers.nn.embed import every_token
from trainers.nn.window_decoder import WindowAttention, WindowDecoder, WindowDecoderNetwork, Windows, log_offsets

ENCODED = Encoded(width=12, prefix=1, style=BlockStyle(), bridge_bias=True)
NOTHING = 1e-30
"""More than passes a wall, which is not infinitely high."""


def decoder(*, rows: int = 8, columns: int = 4, depth: int = 1, **settings: Any) -> WindowDecoderNetwork:
    torch.manual_seed(0)
    design = WindowDecoder(**{"width": 16, "heads": 2, "window": (4, 2), "shift": (2, 0), **settings}, depth=depth)
    network = design.build(LogMel(frames=rows, bins=columns, patch=1), ENCODED)
    # Biases of zero and temperatures of one hide mistakes.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def seen_by(network: WindowDecoderNetwork, asking: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Return how much the decoded token of one place depends on what was encoded of each place, by row and column."""
    tokens = grid[0] * grid[1]
    encoded = torch.randn(1, 1 + tokens, 12, requires_grad=True)
    index = every_token(1, length=tokens, device=torch.device("cpu"))
    place = asking[0] * grid[1] + asking[1]
    decoded = network(encoded, MaskPlan(visible=index, target=index))[0, place]
    (gradient,) = torch.autograd.grad(decoded.square().sum(), encoded)
    assert not gradient[0, 0].any(), "the class token is left out"
    return gradient[0, 1:].abs().amax(dim=-1).unflatten(0, grid)


def rectangle(grid: tuple[int, int], rows: range, columns: range) -> Tensor:
    """Return a grid in which those rows and columns are marked."""
    marked = torch.zeros(grid, dtype=torch.bool)
    marked[rows.start : rows.stop, columns.start : columns.stop] = True
    return marked


@pytest.mark.parametrize(("asking", "rows"), [((1, 1), range(4)), ((6, 0), range(4, 8))])
def test_a_token_sees_all_of_its_window_and_nothing_else(asking: tuple[int, int], rows: range) -> None:
    seen = seen_by(decoder(), asking, (8, 4)) > NOTHING
    assert torch.equal(seen, rectangle((8, 4), rows, range(2)))


def test_moved_windows_reach_into_the_neighbours() -> None:
    seen = seen_by(decoder(depth=2), (3, 1), (8, 4)) > NOTHING
    # The second block shows rows 2 to 5, of which the first had shown rows 0 to 3 and 4 to 7.
    assert torch.equal(seen, rectangle((8, 4), range(8), range(2)))


def test_moved_windows_do_not_reach_over_the_edge() -> None:
    first, last = (seen_by(decoder(depth=2), (row, 0), (8, 4)) > NOTHING for row in (0, 7))
    assert torch.equal(first, rectangle((8, 4), range(4), range(2)))
    assert torch.equal(last, rectangle((8, 4), range(4, 8), range(2)))


def test_columns_can_be_moved_too() -> None:
    network = decoder(depth=2, window=(4, 2), shift=(0, 1))
    assert torch.equal(seen_by(network, (0, 1), (8, 4)) > NOTHING, rectangle((8, 4), range(4), range(4)))
    assert torch.equal(seen_by(network, (0, 0), (8, 4)) > NOTHING, rectangle((8, 4), range(4), range(2)))


def test_cut_tokens_are_joined_where_they_were() -> None:
    windows = Windows(grid=(6, 4), size=(3, 2), shift=(1, 1))
    tokens = torch.arange(24.0).reshape(1, 24, 1)
    cut = windows.cut(tokens)
    assert cut.shape == (1, windows.count, 6, 1)
    assert cut[0, 0, :, 0].tolist() == [5, 6, 9, 10, 13, 14]
    assert torch.equal(windows.joined(cut), tokens)


def test_attention_equals_the_explicit_softmax_of_cosines() -> None:
    torch.manual_seed(0)
    windows = Windows(grid=(8, 4), size=(4, 2), shift=(2, 0))
    attention = WindowAttention(6, heads=2, windows=windows).eval()
    torch.nn.init.uniform_(attention.temperature, -0.1, 0.5)
    tokens = torch.randn(3, 4, 8, 6)
    found = attention(tokens)
    query, key, value = (part.unflatten(-1, (2, 3)).transpose(2, 3) for part in attention.qkv(tokens).chunk(3, dim=-1))
    lengths = query.norm(dim=-1)[..., :, None] * key.norm(dim=-1)[..., None, :]
    cosines = query @ key.transpose(-1, -2) / lengths / attention.temperature.clamp(min=0.01)[:, None, None]
    weights = (cosines + attention.offsets() + windows.walls()[:, None]).softmax(dim=-1)
    expected = attention.projection((weights @ value).transpose(2, 3).flatten(3))
    torch.testing.assert_close(found, expected)


def test_a_token_of_zeros_has_a_finite_gradient() -> None:
    attention = WindowAttention(6, heads=2, windows=Windows(grid=(4, 2), size=(4, 2), shift=(0, 0)))
    tokens = torch.zeros(1, 1, 8, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(attention(tokens).sum(), tokens)
    assert gradient.isfinite().all()


def test_offsets_are_logarithms_with_a_sign() -> None:
    offsets = log_offsets((2, 3))
    assert offsets.shape == (6, 6, 2)
    # From row 1, column 0 to row 0, column 2.
    torch.testing.assert_close(offsets[3, 2], torch.tensor([2.0, 3.0]).log() * torch.tensor([1.0, -1.0]))


def test_biases_are_dropped_in_training_alone() -> None:
    network = decoder()
    bias = network.blocks[0].attention.bias
    assert torch.equal(bias(), bias())
    network.train()
    assert not torch.equal(bias(), bias())


def test_a_side_shorter_than_the_window_is_the_side_of_the_window() -> None:
    network = decoder(rows=8, columns=2, depth=2, window=(4, 4), shift=(2, 2))
    assert [block.windows.size for block in network.blocks] == [(4, 2), (4, 2)]
    assert [block.windows.shift for block in network.blocks] == [(0, 0), (2, 0)]
    assert seen_by(network, (3, 1), (8, 2)).gt(NOTHING).all()


def test_windows_that_do_not_tile_say_what_would() -> None:
    design = WindowDecoder(width=16, depth=1, heads=2, window=(4, 4), shift=(2, 0))
    advice = "Windows of 4 x 4 tokens do not tile the 62 x 8 tokens of 'logmel'.*there are 64 x 8 tokens.*window=2,4.*shift=1,0"
    with pytest.raises(SettingsError, match=advice):
        design.build(LogMel(frames=992, bins=128, patch=16), ENCODED)
    WindowDecoder(width=16, depth=1, heads=2, window=(2, 4), shift=(1, 0)).build(
        LogMel(frames=992, bins=128, patch=16), ENCODED
    )
    design.build(Image(size=64, patch=8), ENCODED)


def test_grids_of_three_axes_are_refused() -> None:
    with pytest.raises(SettingsError, match="'video' has 3 axes"):
        WindowDecoder(width=16, depth=1, heads=2, window=(4, 4), shift=(2, 0)).build(
            Clip(size=32, patch=8, frames=4), ENCODED
        )


@pytest.mark.parametrize(("window", "shift"), [((0, 4), (0, 0)), ((4, 4), (4, 0)), ((4, 4), (-1, 0))])
def test_windows_that_cannot_be_moved_so_are_refused(window: tuple[int, int], shift: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="cannot be moved"):
        WindowDecoder(width=16, depth=1, heads=2, window=window, shift=shift)


def test_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(SettingsError, match="width of 16 cannot be split into 3"):
        decoder(heads=3)
