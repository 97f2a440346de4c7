"""From views to what a network takes: its own size, its own mean and standard deviation, and the trainer's grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import interpolate

from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from shards.errors import SettingsError

NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5,) * 3, (0.5,) * 3),
    "unit": ((0.0,) * 3, (1.0,) * 3),
}
"""Mean and standard deviation of pixels in [0, 1], by name."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Pixels in [0, 255] become `size` x `size` normalised ones.

    Args:
        size: Side in pixels of what the network is shown.
        mean: Of red, green and blue in [0, 1].
        deviation: Likewise.
    """

    size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 {self.size} {self.size}"]:
        """Return float32 pictures; where sizes differ, resized with bicubic interpolation and antialiasing."""
        pixels = images.float()
        if pixels.shape[-2:] != (self.size, self.size):
            resized = interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
            pixels = resized.clamp(0, 255)
        mean = rearrange(torch.tensor(self.mean, device=pixels.device), "channel -> channel 1 1")
        deviation = rearrange(torch.tensor(self.deviation, device=pixels.device), "channel -> channel 1 1")
        return (pixels / 255 - mean) / deviation

    def described(self, size: int) -> str:
        """Say in words what happens to views of `size` pixels."""
        resized = f"bicubic with antialiasing to {self.size} x {self.size} pixels, " if size != self.size else ""
        return f"{resized}scaled to [0, 1], then mean {_written(self.mean)} and standard deviation {_written(self.deviation)}"


def gridded_size(*, size: int, patch: int, network_patch: int, input_size: int) -> int:
    """Return the side of pictures at which a network has one patch for each of the trainer's.

    Args:
        size: Side of the views in pixels.
        patch: Side of the trainer's patches.
        network_patch: Side of the network's patches.
        input_size: What the user asked for; 0 leaves it to us.

    Raises:
        SettingsError: Patches do not tile the views, or the size that was asked for gives another grid.
    """
    side = grid_side(size=size, patch=patch)
    fitting = side * network_patch
    if input_size and input_size != fitting:
        raise SettingsError(
            f"Views of {size} pixels in patches of {patch} make a grid of {side} x {side}; a teacher with patches of "
            f"{network_patch} pixels has that grid at input_size={fitting}, not at input_size={input_size}. Leave input_size "
            "out, or change size or patch."
        )
    return fitting


def grid_side(*, size: int, patch: int) -> int:
    """Return how many patches are in a row of a view.

    Raises:
        SettingsError: Patches do not tile the views.
    """
    if patch < 1 or size < patch or size % patch:
        raise SettingsError(
            f"Views of {size} pixels cannot be cut into patches of {patch} pixels; give a patch that divides the size."
        )
    return size // patch


def _written(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in values) + ")"
