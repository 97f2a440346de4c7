"""Histograms of oriented gradients with blocks of cells, as Dalal and Triggs define them and scikit-image has them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor

from pipelines.transforms.orientation import cell_votes
from shards.errors import SettingsError

BlockNorm = Literal["L1", "L1-sqrt", "L2", "L2-Hys"]
"""How the histograms of a block are scaled; L2-Hys is L2, then no value above 0.2, then L2 again."""

Blocks = Float[Tensor, "batch block_rows block_columns values"]

_PIXEL_BINS = 24
"""So many bins at most are told apart in float32 for all differences of 8-bit pixels; a test tries each of them."""

_EPSILON = 1e-5
_MOST = 0.2


def block_hog(
    images: Shaped[Tensor, "batch channels height width"],
    *,
    bins: int = 9,
    cell: int = 8,
    block: int = 2,
    norm: BlockNorm = "L2-Hys",
) -> Float[Tensor, "batch block_rows block_columns rows columns bins"]:
    """Return the normalised histograms of all overlapping blocks of `block` x `block` cells of `cell` x `cell` pixels.

    Gradients are central differences of the channel where they are strongest at that pixel, and zero across the border
    of the picture; there is no smoothing. Every pixel votes with its whole magnitude for one of `bins` bins over 180
    degrees, bin 0 beginning at gradients that point right. Blocks begin at every cell, so cells are in several; those
    at steps of `block`, `[:, ::block, ::block]`, hold every cell once. Pixels that fill no whole cell do not count.

    Flattened, a picture is `skimage.feature.hog(picture, bins, (cell, cell), (block, block), norm, channel_axis=...)`
    of scikit-image 0.26: angles are reckoned in float64, as there, wherever float32 could choose another bin. `images`
    are 8-bit pixels or floating-point numbers of any scale; the result is float32. Source: Dalal and Triggs, 2005,
    doi:10.1109/CVPR.2005.177.

    Raises:
        SettingsError: A setting is not positive, or the picture is smaller than a block.
    """
    _check(images, bins=bins, cell=cell, block=block)
    is_exact = images.dtype == torch.uint8 and bins <= _PIXEL_BINS
    gradients = partial(_strongest_differences, precision=torch.float32 if is_exact else torch.float64)
    votes = rearrange(
        cell_votes(images, gradients, cell=cell, bins=bins),
        "batch 1 bin row column -> batch row column bin",
    )
    blocks = (votes / cell**2).unfold(1, block, 1).unfold(2, block, 1)
    normalised = _NORMS[norm](rearrange(blocks, "batch row column bin y x -> batch row column (y x bin)"))
    return rearrange(
        normalised.float(), "batch row column (y x bin) -> batch row column y x bin", y=block, x=block, bin=bins
    )


def _check(images: Tensor, *, bins: int, cell: int, block: int) -> None:
    if min(bins, cell, block) < 1:
        raise SettingsError(
            f"HOG of {bins} bins, cells of {cell} pixels and blocks of {block} cells was asked for; give 1 or more of each."
        )
    if min(images.shape[-2:]) < cell * block:
        raise SettingsError(
            f"Pictures of {images.shape[-2]} x {images.shape[-1]} pixels are smaller than a block of {block} x {block} "
            f"cells of {cell} x {cell} pixels; choose fewer or smaller cells."
        )


def _strongest_differences(
    images: Shaped[Tensor, "batch channels height width"], *, precision: torch.dtype
) -> tuple[Float[Tensor, "batch 1 height width"], Float[Tensor, "batch 1 height width"]]:
    """Return down and right components of the gradient of each pixel's strongest channel, the first of equals."""
    down, right = _central_differences(images)
    if images.shape[1] > 1:
        strongest = _magnitude(down, right).max(dim=1, keepdim=True).indices
        down, right = down.gather(1, strongest), right.gather(1, strongest)
    return down.to(precision), right.to(precision)


def _magnitude(
    down: Float[Tensor, "batch channels height width"], right: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Return the lengths of gradients, as NumPy has them: rounding decides between channels that are equally strong."""
    if down.device.type == "cpu" and down.dtype == torch.float64:
        return torch.from_numpy(np.hypot(down.numpy(), right.numpy()))
    return torch.hypot(down, right)


def _central_differences(
    images: Shaped[Tensor, "batch channels height width"],
) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch channels height width"]]:
    pixels = images if images.dtype == torch.float64 else images.float()
    down, right = torch.zeros_like(pixels), torch.zeros_like(pixels)
    down[..., 1:-1, :] = pixels[..., 2:, :] - pixels[..., :-2, :]
    right[..., 1:-1] = pixels[..., 2:] - pixels[..., :-2]
    return down, right


def _l1(blocks: Blocks) -> Blocks:
    return blocks / (blocks.sum(dim=-1, keepdim=True) + _EPSILON)


def _l1_root(blocks: Blocks) -> Blocks:
    return _l1(blocks).sqrt()


def _l2(blocks: Blocks) -> Blocks:
    return blocks / (blocks.square().sum(dim=-1, keepdim=True) + _EPSILON**2).sqrt()


def _l2_clipped(blocks: Blocks) -> Blocks:
    return _l2(_l2(blocks).clamp(max=_MOST))


_NORMS: Mapping[BlockNorm, Callable[[Blocks], Blocks]] = {
    "L1": _l1,
    "L1-sqrt": _l1_root,
    "L2": _l2,
    "L2-Hys": _l2_clipped,
}
