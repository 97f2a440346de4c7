"""How much CPU histograms of oriented gradients take, beside scikit-image and the layer that MaskFeat was published with.

    python -m benchmarks.hog

Everything runs in one process with one thread, on photographs of 224 x 224 pixels that are in memory as 8-bit pixels, in
batches of 16. Blocks of grey begin with grey pixels; cells of grey begin with colours, for both. scikit-image takes one
picture at a time, and one channel at a time where every channel has histograms of its own. The layer of MaskFeat is
written down again here. How far ours are from scikit-image's is printed too.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.console import Console
from skimage.color import rgb2gray
from skimage.feature import hog
from torch import Tensor
from torch.nn import functional

from benchmarks.measure import (
    Arm,
    RatioTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from benchmarks.photographs import write_photographs
from pipelines.transforms.block_hog import block_hog
from pipelines.transforms.hog import grey_patch_hog, patch_hog
from pipelines.transforms.image import normalise

SIZE, PATCH, CELL, BINS = 224, 16, 8, 9
BATCH = 16
PACKAGES = ("maskloom", "torch", "scikit-image", "numpy")
DIFFERENCE = 1e-5
"""Largest difference from scikit-image that is allowed."""

GREY_BLOCKS, PEER_GREY_BLOCKS = "block_hog, grey", "scikit-image, grey, blocks"
GREY_NUMBERS = "block_hog, grey, float32"
RGB_BLOCKS, PEER_RGB_BLOCKS = "block_hog, RGB", "scikit-image, RGB, blocks"
GREY_CELLS, PEER_GREY_CELLS = "grey_patch_hog", "scikit-image, grey, cells"
RGB_CELLS, PEER_RGB_CELLS, LAYER = "patch_hog", "scikit-image, each channel, cells", "layer of MaskFeat"

TARGETS = (
    RatioTarget(claim="grey, 2 x 2 blocks", arm=GREY_BLOCKS, peer=PEER_GREY_BLOCKS, at_least=8),
    RatioTarget(claim="RGB, strongest channel, 2 x 2 blocks", arm=RGB_BLOCKS, peer=PEER_RGB_BLOCKS, at_least=4),
    RatioTarget(claim="grey, cells of patches", arm=GREY_CELLS, peer=PEER_GREY_CELLS, at_least=8),
    RatioTarget(claim="RGB, each channel, cells of patches", arm=RGB_CELLS, peer=PEER_RGB_CELLS, at_least=4),
    RatioTarget(claim="RGB, cells of patches / MaskFeat's layer", arm=RGB_CELLS, peer=LAYER, at_least=2.5),
)

Pictures = npt.NDArray[np.uint8]


def make_pictures() -> tuple[Pictures, Pictures]:
    """Return photographs in colour, [batch, height, width, 3], and in grey, [batch, height, width]."""
    with tempfile.TemporaryDirectory() as folder:
        opened = [Image.open(path).resize((SIZE, SIZE)) for path in write_photographs(Path(folder), BATCH)]
    return np.stack([np.asarray(picture) for picture in opened]), np.stack(
        [np.asarray(picture.convert("L")) for picture in opened]
    )


def by_scikit_image(picture: Pictures, *, block: int, norm: str) -> npt.NDArray[np.float64]:
    """Return the blocks of one picture, of the strongest channel if it is in colour."""
    channel_axis = -1 if picture.ndim == 3 else None
    found: npt.NDArray[np.float64] = hog(
        picture, BINS, (CELL, CELL), (block, block), norm, feature_vector=False, channel_axis=channel_axis
    )
    return found


def by_layer(pictures: Tensor) -> Tensor:
    """Return what `HOGLayerC` does (facebookresearch/SlowFast, slowfast/models/operators.py), in other words."""
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).expand(3, 1, 3, 3)
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="reflect")
    horizontal, vertical = (functional.conv2d(padded, kernel, groups=3) for kernel in (across, across.mT))
    magnitude = torch.stack([horizontal, vertical], dim=-1).norm(dim=-1)
    orientation = (torch.atan2(horizontal, vertical) / math.pi * BINS).floor().long() % BINS
    votes = torch.zeros(len(pictures), 3, BINS, SIZE, SIZE)
    votes.scatter_add_(2, orientation[:, :, None], magnitude[:, :, None])
    return functional.normalize(votes.unfold(3, CELL, CELL).unfold(4, CELL, CELL).sum(dim=(-1, -2)), dim=2)


def cost_of(work: Callable[[], object], *, repeats: int) -> Callable[[int], float]:
    """Return a cost function: CPU-seconds for one picture."""

    def repeated() -> int:
        for _ in range(repeats):
            work()
        return repeats * BATCH

    return lambda _: cpu_per_item(repeated)


def make_arms(colour: Pictures, grey: Pictures, *, repeats: int) -> list[Arm]:
    """Return ours, which are repeated, and theirs, which take long enough."""
    channels, luminance = tensors(colour, grey)
    numbers = luminance / 255
    theirs: Mapping[str, Callable[[], object]] = {
        PEER_GREY_BLOCKS: lambda: [by_scikit_image(picture, block=2, norm="L2-Hys") for picture in grey],
        PEER_RGB_BLOCKS: lambda: [by_scikit_image(picture, block=2, norm="L2-Hys") for picture in colour],
        PEER_GREY_CELLS: lambda: [by_scikit_image(rgb2gray(picture), block=1, norm="L2") for picture in colour],
        PEER_RGB_CELLS: lambda: [
            by_scikit_image(picture[..., channel], block=1, norm="L2") for picture in colour for channel in range(3)
        ],
        LAYER: lambda: by_layer(normalise(channels)),
    }
    ours: Mapping[str, Callable[[], object]] = {
        GREY_BLOCKS: lambda: block_hog(luminance, cell=CELL),
        GREY_NUMBERS: lambda: block_hog(numbers, cell=CELL),
        RGB_BLOCKS: lambda: block_hog(channels, cell=CELL),
        GREY_CELLS: lambda: grey_patch_hog(channels, patch=PATCH),
        RGB_CELLS: lambda: patch_hog(channels, patch=PATCH),
    }
    return [
        *(Arm(name=name, cost=cost_of(work, repeats=1)) for name, work in theirs.items()),
        *(Arm(name=name, cost=cost_of(work, repeats=repeats)) for name, work in ours.items()),
    ]


def tensors(colour: Pictures, grey: Pictures) -> tuple[Tensor, Tensor]:
    """Return the pictures as batches of 3 and of 1 channels."""
    return torch.from_numpy(colour).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(grey)[:, None]


def print_differences(colour: Pictures, grey: Pictures, console: Console) -> dict[str, float]:
    """Print and return how far ours are from scikit-image's at most."""
    channels, luminance = tensors(colour, grey)
    differences = {}
    for name, pictures, found in (("grey", grey, block_hog(luminance)), ("RGB", colour, block_hog(channels))):
        wanted: Sequence[npt.NDArray[np.float64]] = [by_scikit_image(each, block=2, norm="L2-Hys") for each in pictures]
        differences[name] = float(np.abs(found.numpy() - np.stack(wanted)).max())
        verdict = "met" if differences[name] <= DIFFERENCE else "falls short"
        console.print(f"{name}: differs by {differences[name]:.1e} at most (<= {DIFFERENCE:g}: {verdict}).")
    return differences


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark histograms of oriented gradients.")
    command.add_argument("--repeats", type=int, default=4)
    command.add_argument("--rounds", type=int, default=9)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/hog.json"))
    return command.parse_args()


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    colour, grey = make_pictures()
    differences = print_differences(colour, grey, console)
    arms = make_arms(colour, grey, repeats=arguments.repeats)
    costs = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    print_costs("Histograms of a picture of 224 x 224", costs, reference=PEER_GREY_BLOCKS, console=console)
    print_targets(TARGETS, costs, console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    settings |= {f"difference: {name}": f"{value:.1e}" for name, value in differences.items()}
    write_results(arguments.json, costs, targets=TARGETS, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
