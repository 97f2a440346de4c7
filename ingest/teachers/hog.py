"""Histograms of oriented gradients of every patch, as targets (MaskFeat, arXiv:2112.09133, section 3.2)."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from ingest.teachers import Compute
from pipelines.modalities import Image
from pipelines.transforms.hog import BINS, CELLS_PER_SIDE, grey_patch_hog, patch_hog
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """HOG of 2 x 2 cells to a patch, 9 bins over 180 degrees.

    Args:
        size: Side of the views in pixels.
        patch: Side of a patch in pixels; even, and a divisor of `size`.
        channels: "colours" for each channel on its own, "grey" for luminance alone.

    Raises:
        SettingsError: Patches do not tile the views, or cells the patches; when `shape` is asked for.
    """

    size: int
    patch: int = 16
    channels: Literal["colours", "grey"] = "colours"

    @property
    def modality(self) -> Image:
        """Pictures."""
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, int]:
        """Patches, and values of one: channel, then bin, then cell."""
        if self.patch < CELLS_PER_SIDE or self.patch % CELLS_PER_SIDE or self.size % self.patch:
            raise SettingsError(
                f"HOG of patches of {self.patch} pixels in views of {self.size} was asked for; "
                "give a patch that is even and a divisor of the size."
            )
        return (self.size // self.patch) ** 2, (3 if self.channels == "colours" else 1) * BINS * CELLS_PER_SIDE**2

    @property
    def vocabulary(self) -> None:
        """HOG gives numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """How 8-bit pixels become the teacher's input."""
        colours = "scaled to [0, 1], then ImageNet mean and standard deviation"
        return colours if self.channels == "colours" else "BT.601 luminance, scaled to [0, 1]"

    @property
    def weights_sha256(self) -> None:
        """HOG has no weights."""
        return

    @property
    def packages(self) -> tuple[str, ...]:
        """Nothing but torch computes it."""
        return ()

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to the HOG of every patch."""
        return partial(patch_hog if self.channels == "colours" else grey_patch_hog, patch=self.patch)
