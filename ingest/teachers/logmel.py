"""Log-mel features of sound, patch by patch, as targets (Audio-MAE, arXiv:2207.06405; CAV-MAE, arXiv:2210.07839)."""

from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ingest.teachers import Compute
from pipelines.modalities import LogMel
from pipelines.transforms.logmel import normalise
from pipelines.transforms.patches import patchify
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The stored log-mel features as a stream renders them: natural logarithms, silence where the sound has ended.

    Values are (feature - mean) / deviation, both over a whole dataset; as they are by default. Audio-MAE normalises with
    mean -4.268 and deviation 9.138 (twice the standard deviation) of AudioSet.

    Args:
        frames: Columns of features.
        bins: Bands of the mel scale, as many as are stored.
        patch: Side of a patch, in frames and in bins.
        field: The stored field.
        mean: What is taken away from every value.
        deviation: What every value is divided by after that.

    Raises:
        SettingsError: Patches do not tile the features, or the deviation is not above 0; when a property is asked for.
    """

    frames: int = 1024
    bins: int = 128
    patch: int = 16
    field: str = "logmel"
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def modality(self) -> LogMel:
        """Features of sound."""
        return LogMel(frames=self.frames, bins=self.bins, patch=self.patch, field=self.field)

    @property
    def shape(self) -> tuple[int, int]:
        """Patches by time, then band; values of one by time, then band."""
        if self.deviation <= 0:
            raise SettingsError(f"Features cannot be divided by deviation={self.deviation:g}; give a number above 0.")
        return self.modality.num_tokens, self.modality.patch_values

    @property
    def vocabulary(self) -> None:
        """Features are numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """How stored features become the targets."""
        return f"natural logarithms, less {self.mean:.10g}, divided by {self.deviation:.10g}"

    @property
    def weights_sha256(self) -> None:
        """There are no weights."""
        return

    @property
    def packages(self) -> tuple[str, ...]:
        """Nothing but torch computes it."""
        return ()

    def load(self, device: torch.device) -> Compute:
        """Return the function from features [batch, frames, bins] to their patches."""
        _ = self.shape
        return partial(_patches, patch=self.patch, mean=self.mean, deviation=self.deviation)


def _patches(
    features: Float[Tensor, "batch frames bins"], *, patch: int, mean: float, deviation: float
) -> Float[Tensor, "batch patches values"]:
    normalised = normalise(features.float(), mean=mean, deviation=deviation)
    return patchify(rearrange(normalised, "batch frame bin -> batch 1 frame bin"), patch)
