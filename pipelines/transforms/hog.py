"""Histograms of oriented gradients, as MaskFeat predicts them."""

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor

from pipelines.transforms.image import IMAGENET_STD, normalise
from pipelines.transforms.orientation import Gradients, cell_votes
from shards.errors import SettingsError

Responses = tuple[Float[Tensor, "batch voters height width"], Float[Tensor, "batch voters height width"]]

RESPONSE_FLOOR = 1e-5
"""Sobel responses of normalised pixels below this are rounding residue; left in, it would be scaled to unit vectors."""

BINS = 9
CELLS_PER_SIDE = 2
"""What MaskFeat predicts of a patch: histograms of 9 bins of 2 x 2 cells, for each colour channel."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luminance of a colour (ITU-R BT.601, as in JPEG)."""


def patch_hog(images: Shaped[Tensor, "batch 3 height width"], *, patch: int) -> Float[Tensor, "batch patches values"]:
    """Return the histograms of the four cells of each patch, 108 values; teachers and trainers share it.

    Pixels of 8 bits are normalised first; floating-point numbers are taken as normalised already.

    Raises:
        SettingsError: `patch` is odd, or does not tile the picture.
    """
    return _patches(images, _colour_responses, patch=patch, cell=_half(patch), bins=BINS)


def grey_patch_hog(
    images: Shaped[Tensor, "batch 3 height width"], *, patch: int
) -> Float[Tensor, "batch patches values"]:
    """Return the histograms of the luminance alone: 36 values to a patch, otherwise as `patch_hog`.

    Luminance is the weighted sum of the values that are stored, without gamma, as in JPEG and in Pillow's mode L, but
    not rounded. Responses below 1e-5 count as zero on a scale where white is 1.

    Raises:
        SettingsError: `patch` is odd, or does not tile the picture.
    """
    return _patches(images, _luminance_responses, patch=patch, cell=_half(patch), bins=BINS)


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
    return _patches(images, _sobel_responses, patch=patch, cell=patch // 2 if cell is None else cell, bins=bins)


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
    return _cells(images, _sobel_responses, cell=cell, bins=bins)


def _patches(
    images: Shaped[Tensor, "batch channels height width"], gradients: Gradients, *, patch: int, cell: int, bins: int
) -> Float[Tensor, "batch patches values"]:
    if cell < 1 or patch % cell:
        raise SettingsError(f"Patches of {patch} pixels cannot be cut into cells of {cell} pixels.")
    return rearrange(
        _cells(images, gradients, cell=cell, bins=bins),
        "batch channel bin (row y) (column x) -> batch (row column) (channel bin y x)",
        y=patch // cell,
        x=patch // cell,
    )


def _cells(
    images: Shaped[Tensor, "batch channels height width"], gradients: Gradients, *, cell: int, bins: int
) -> Float[Tensor, "batch voters bins rows columns"]:
    if images.shape[-2] % cell or images.shape[-1] % cell:
        raise SettingsError(f"Pictures of shape {tuple(images.shape)} cannot be cut into cells of {cell} pixels.")
    return torch.nn.functional.normalize(cell_votes(images, gradients, cell=cell, bins=bins), dim=2)


def _half(patch: int) -> int:
    if patch % CELLS_PER_SIDE:
        raise SettingsError(
            f"HOG cuts a patch into 2 x 2 cells; a patch of {patch} pixels does not allow it, an even one does."
        )
    return patch // CELLS_PER_SIDE


def _colour_responses(images: Shaped[Tensor, "batch 3 height width"]) -> Responses:
    return _sobel_responses(images if images.is_floating_point() else normalise(images))


def _luminance_responses(images: Shaped[Tensor, "batch 3 height width"]) -> Responses:
    """Return those of the luminance, where white is 1; what normalising subtracts does not change them."""
    units = IMAGENET_STD if images.is_floating_point() else (1 / 255, 1 / 255, 1 / 255)
    red, green, blue = (share * unit for share, unit in zip(LUMINANCE, units, strict=True))
    pixels = images.float()
    luminance = pixels[:, :1].mul(red).add_(pixels[:, 1:2], alpha=green).add_(pixels[:, 2:], alpha=blue)
    return _sobel_responses(luminance)


def _sobel_responses(images: Float[Tensor, "batch channels height width"]) -> Responses:
    """Return the horizontal and the vertical response at every pixel: angles are measured from the vertical."""
    padded = torch.nn.functional.pad(images.float(), (1, 1, 1, 1), mode="reflect")
    across = padded[..., :-2] - padded[..., 2:]
    along = padded[..., :-2, :] - padded[..., 2:, :]
    horizontal = across[..., :-2, :].add(across[..., 1:-1, :], alpha=2).add_(across[..., 2:, :])
    vertical = along[..., :-2].add(along[..., 1:-1], alpha=2).add_(along[..., 2:])
    return _without_residue(horizontal), _without_residue(vertical)


def _without_residue(responses: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.nn.functional.hardshrink(responses, RESPONSE_FLOOR)
