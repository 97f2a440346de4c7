"""Histograms of oriented gradients, as MaskFeat predicts them."""

import math

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int32, Shaped
from torch import Tensor

from pipelines.transforms.image import normalise
from shards.errors import SettingsError

RESPONSE_FLOOR = 1e-5
"""Sobel responses of normalised pixels below this are rounding residue; left in, it would be scaled to unit vectors."""


BINS = 9
CELLS_PER_SIDE = 2
"""What MaskFeat predicts of a patch: histograms of 9 bins of 2 x 2 cells, for each colour channel."""


def patch_hog(images: Shaped[Tensor, "batch 3 height width"], *, patch: int) -> Float[Tensor, "batch patches values"]:
    """Return the histograms of the four cells of each patch, 108 values; teachers and trainers share it.

    Pixels of 8 bits are normalised first; floating-point numbers are taken as normalised already.

    Raises:
        SettingsError: `patch` is odd, or does not tile the picture.
    """
    pixels = images if images.is_floating_point() else normalise(images)
    if patch % CELLS_PER_SIDE:
        raise SettingsError(
            f"HOG cuts a patch into 2 x 2 cells; a patch of {patch} pixels does not allow it, an even one does."
        )
    return hog(pixels, patch=patch, cell=patch // CELLS_PER_SIDE, bins=BINS)


def hog(
    images: Float[Tensor, "batch channels height width"], *, patch: int = 16, cell: int | None = None, bins: int = 9
) -> Float[Tensor, "batch patches values"]:
    """Return the histograms of the cells of each patch, one for each channel (Wei et al., arXiv:2112.09133).

    A patch of `patch` pixels has cells of `cell` pixels, half a patch if not given. Values run by channel, bin, row and
    column of the cell: with 3 channels, 9 bins and 2 x 2 cells, index = channel * 36 + bin * 4 + row * 2 + column. See
    `hog_cells` for what a histogram holds. float32 whatever the dtype of `images`, also under autocast.

    Raises:
        SettingsError: Cells do not tile the patch, or the picture.
    """
    side = patch // 2 if cell is None else cell
    if side < 1 or patch % side:
        raise SettingsError(f"Patches of {patch} pixels cannot be cut into cells of {side} pixels.")
    return rearrange(
        hog_cells(images, cell=side, bins=bins),
        "batch channel bin (row y) (column x) -> batch (row column) (channel bin y x)",
        y=patch // side,
        x=patch // side,
    )


def hog_cells(
    images: Float[Tensor, "batch channels height width"], *, cell: int, bins: int = 9
) -> Float[Tensor, "batch channels bins rows columns"]:
    """Return one histogram per cell of `cell` x `cell` pixels, of Euclidean length 1, or 0 where the cell is flat.

    Gradients are Sobel responses of the normalised `images`, mirrored at the border. Every pixel votes with its whole
    magnitude for the bin floor(atan2(horizontal, vertical) / pi * bins) mod bins: `bins` bins over 180 degrees, blind
    to the sign of the contrast. Follows `HOGLayerC` of the official code (facebookresearch/SlowFast), except that
    responses below 1e-5 count as zero and a zero horizontal response is exactly in bin 0, which makes the result that
    of exact arithmetic.
    """
    if images.shape[-2] % cell or images.shape[-1] % cell:
        raise SettingsError(f"Pictures of shape {tuple(images.shape)} cannot be cut into cells of {cell} pixels.")
    # Summing by index is the fastest way on a CPU, one picture at a time so that it stays in the cache. On a GPU it would
    # not be reproducible, and passes over memory are cheap there.
    if images.device.type == "cpu":
        votes = torch.cat([votes_by_index(image[None], cell=cell, bins=bins) for image in images.unbind()])
    else:
        votes = votes_by_bin(images, cell=cell, bins=bins)
    return torch.nn.functional.normalize(votes, dim=2)


def _gradients(
    images: Float[Tensor, "batch channels height width"], *, bins: int
) -> tuple[Int32[Tensor, "batch channels height width"], Float[Tensor, "batch channels height width"]]:
    """Return bin of orientation and magnitude of the Sobel response at every pixel."""
    padded = torch.nn.functional.pad(images.float(), (1, 1, 1, 1), mode="reflect")
    across = padded[..., :-2] - padded[..., 2:]
    along = padded[..., :-2, :] - padded[..., 2:, :]
    horizontal = _without_residue(across[..., :-2, :].add(across[..., 1:-1, :], alpha=2).add_(across[..., 2:, :]))
    vertical = _without_residue(along[..., :-2].add(along[..., 1:-1], alpha=2).add_(along[..., 2:]))
    # Turned by 180 degrees where it points left, a gradient has an angle from 0 to pi and the same bin as before.
    angle = torch.atan2(horizontal.abs(), torch.where(horizontal < 0, -vertical, vertical))
    orientation = angle.mul_(bins / math.pi).int().clamp_(max=bins - 1).masked_fill_(horizontal == 0, 0)
    return orientation, torch.hypot(horizontal, vertical)


def _without_residue(responses: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.nn.functional.hardshrink(responses, RESPONSE_FLOOR)


def votes_by_index(
    images: Float[Tensor, "batch channels height width"], *, cell: int, bins: int
) -> Float[Tensor, "batch channels bins rows columns"]:
    """Sum the magnitudes per cell and bin with a single weighted count."""
    batch, channels, height, width = images.shape
    orientation, magnitude = _gradients(images, bins=bins)
    histograms = torch.arange(batch * channels * (height // cell) * (width // cell), dtype=torch.int32) * bins
    of_pixel = repeat(
        histograms,
        "(batch channel row column) -> batch channel (row y) (column x)",
        batch=batch,
        channel=channels,
        row=height // cell,
        y=cell,
        x=cell,
    )
    total = len(histograms) * bins
    votes = torch.bincount((of_pixel + orientation).flatten(), weights=magnitude.flatten(), minlength=total)
    return rearrange(
        votes,
        "(batch channel row column bin) -> batch channel bin row column",
        batch=batch,
        channel=channels,
        row=height // cell,
        bin=bins,
    )


def votes_by_bin(
    images: Float[Tensor, "batch channels height width"], *, cell: int, bins: int
) -> Float[Tensor, "batch channels bins rows columns"]:
    """Sum the magnitudes per cell, one bin after the other; the same result on every run."""
    orientation, magnitude = _gradients(images, bins=bins)
    votes = [
        reduce(
            torch.where(orientation == wanted, magnitude, 0.0),
            "batch channel (row y) (column x) -> batch channel row column",
            "sum",
            y=cell,
            x=cell,
        )
        for wanted in range(bins)
    ]
    return torch.stack(votes, dim=2)
