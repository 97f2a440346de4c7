"""Histograms of oriented gradients of every patch, as targets (MaskFeat, arXiv:2112.09133, section 3.2)."""

from dataclasses import dataclass
from functools import partial

import torch

from ingest.teachers import Compute
from pipelines.modalities import Image
from pipelines.transforms.hog import BINS, CELLS_PER_SIDE, patch_hog
from shards.errors import SettingsError

_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """HOG of 2 x 2 cells to a patch, 9 bins over 180 degrees, each colour channel on its own.

    Args:
        size: Side of the views in pixels.
        patch: Side of a patch in pixels; even, and a divisor of `size`.

    Raises:
        SettingsError: Patches do not tile the views, or cells the patches; when `shape` is asked for.
    """

    size: int
    patch: int = 16

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
        return (self.size // self.patch) ** 2, _CHANNELS * BINS * CELLS_PER_SIDE**2

    @property
    def vocabulary(self) -> None:
        """HOG gives numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """How 8-bit pixels become the teacher's input."""
        return "scaled to [0, 1], then ImageNet mean and standard deviation"

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
        return partial(patch_hog, patch=self.patch)
