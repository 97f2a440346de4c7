"""Mean and spread of the pixels of every patch, as targets: what turns standardised patches into pixels again.

MAE predicts patches that are standardised one by one (arXiv:2111.06377, section 3, "normalized pixels"); with these
numbers `prediction * spread + mean` is a picture.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor

from ingest.networks.resizing import grid_side
from ingest.teachers import Compute
from pipelines.modalities import Image
from pipelines.transforms.image import normalise
from pipelines.transforms.patches import mean_and_spread, patchify

_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Mean and spread of every patch, of pixels normalised with ImageNet's mean and standard deviation.

    The spread is the root of the unbiased variance plus 1e-6, as in MAE.

    Args:
        size: Side of the views in pixels.
        patch: Side of a patch in pixels.
        channels: "each" gives [patches, 6], the means of red, green and blue, then their spreads; "together" gives
            [patches, 2], over all values of a patch, which is what MAE standardises with.

    Raises:
        SettingsError: Patches do not tile the views; when `shape` is asked for.
    """

    size: int
    patch: int = 16
    channels: Literal["each", "together"] = "each"

    @property
    def modality(self) -> Image:
        """Pictures."""
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, int]:
        """Patches; means, then spreads."""
        side = grid_side(size=self.size, patch=self.patch)
        return side**2, 2 * (_CHANNELS if self.channels == "each" else 1)

    @property
    def vocabulary(self) -> None:
        """The statistics are numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """How 8-bit pixels become the teacher's input."""
        return "scaled to [0, 1], then ImageNet mean and standard deviation"

    @property
    def weights_sha256(self) -> None:
        """There are no weights."""
        return

    @property
    def packages(self) -> tuple[str, ...]:
        """Nothing but torch computes it."""
        return ()

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to the statistics."""
        return partial(patch_statistics, patch=self.patch, each=self.channels == "each")


def patch_statistics(
    images: Shaped[Tensor, "batch 3 height width"], *, patch: int, each: bool
) -> Float[Tensor, "batch patches values"]:
    """Return the means, then the spreads of each patch: of every channel on its own, or of all values together."""
    patches = patchify(normalise(images), patch)
    split = _CHANNELS if each else 1
    values = rearrange(patches, "batch patch (pixel channel) -> batch patch channel pixel", channel=split)
    return torch.cat([part.squeeze(-1) for part in mean_and_spread(values)], dim=-1)
