"""Votes of gradients for their orientations, counted in cells: what all histograms of oriented gradients share."""

from collections.abc import Callable

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int32, Shaped
from torch import Tensor

Gradients = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From pictures, [batch, channels, height, width], to the rise and the run of the gradient at every pixel.

Its angle is atan2(rise, run). Which way each of the two points is what a definition of HOG has to choose.
"""


def cell_votes(
    images: Shaped[Tensor, "batch channels height width"], gradients: Gradients, *, cell: int, bins: int
) -> Float[Tensor, "batch voters bins rows columns"]:
    """Sum the magnitudes of gradients over cells of `cell` x `cell` pixels, per bin of orientation.

    Each pixel gives its whole magnitude to one bin. Pixels right of and below the last whole cell have no vote.
    `gradients` may merge channels; there are as many voters as it returns channels. Sums have the dtype of what it
    returns, and are the same on every run.
    """
    # Summing by index is the fastest way on a CPU, one picture at a time so that it stays in the cache. On a GPU it would
    # not be reproducible, and passes over memory are cheap there.
    if images.device.type == "cpu":
        return torch.cat([votes_by_index(*gradients(image[None]), cell=cell, bins=bins) for image in images.unbind()])
    return votes_by_bin(*gradients(images), cell=cell, bins=bins)


def orientation_bins(
    rise: Float[Tensor, "*shape"], run: Float[Tensor, "*shape"], *, bins: int
) -> Int32[Tensor, "*shape"]:
    """Return floor(atan2(rise, run) mod 180 degrees / (180 degrees / bins)), blind to the sign of the gradient.

    A rise of zero is exactly in bin 0. With float64, borders between bins are where NumPy's float64 has them; with
    float32, a gradient within about 1e-7 of a border may be on either side.
    """
    # Turned by 180 degrees where it falls, a gradient has an angle from 0 to 180 and the same orientation. Adding zero
    # makes zeros positive: the angle of (0, -0) would be 180.
    turned = rise.sign().mul_(run).add_(0.0)
    degrees = rise.abs().atan2_(turned).rad2deg_()
    return degrees.div_(180 / bins).int().clamp_(max=bins - 1)


def votes_by_index(
    rise: Float[Tensor, "batch voters height width"],
    run: Float[Tensor, "batch voters height width"],
    *,
    cell: int,
    bins: int,
) -> Float[Tensor, "batch voters bins rows columns"]:
    """Sum the magnitudes per cell and bin with a single weighted count."""
    rise, run = _whole_cells(rise, cell), _whole_cells(run, cell)
    batch, voters, height, width = rise.shape
    cells = {"batch": batch, "voter": voters, "row": height // cell}
    histograms = torch.arange(batch * voters * (height // cell) * (width // cell), dtype=torch.int32) * bins
    of_pixel = repeat(histograms, "(batch voter row column) -> batch voter (row y) (column x)", **cells, y=cell, x=cell)
    votes = torch.bincount(
        (of_pixel + orientation_bins(rise, run, bins=bins)).flatten(),
        weights=torch.hypot(rise, run).flatten(),
        minlength=len(histograms) * bins,
    )
    return rearrange(votes, "(batch voter row column bin) -> batch voter bin row column", **cells, column=width // cell)


def votes_by_bin(
    rise: Float[Tensor, "batch voters height width"],
    run: Float[Tensor, "batch voters height width"],
    *,
    cell: int,
    bins: int,
) -> Float[Tensor, "batch voters bins rows columns"]:
    """Sum the magnitudes per cell, one bin after the other; the same result on every run."""
    rise, run = _whole_cells(rise, cell), _whole_cells(run, cell)
    orientation, magnitude = orientation_bins(rise, run, bins=bins), torch.hypot(rise, run)
    votes = [
        reduce(
            torch.where(orientation == wanted, magnitude, 0.0),
            "batch voter (row y) (column x) -> batch voter row column",
            "sum",
            y=cell,
            x=cell,
        )
        for wanted in range(bins)
    ]
    return torch.stack(votes, dim=2)


def _whole_cells(
    gradients: Float[Tensor, "batch voters height width"], cell: int
) -> Float[Tensor, "batch voters rows columns"]:
    height, width = gradients.shape[-2:]
    return gradients[..., : height - height % cell, : width - width % cell]
