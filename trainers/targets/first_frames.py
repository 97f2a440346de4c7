"""The first frame of each tubelet: one slice in time of what a token of a clip covers."""

from collections.abc import Callable
from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Clip
from trainers.nn.embed import image_patches
from trainers.targets.computed import ComputedTarget
from trainers.targets.patches import standardise_patches


def first_frames(
    clips: Shaped[Tensor, "batch channels frames side side"], clip: Clip
) -> Shaped[Tensor, "pictures channels side side"]:
    """Return the first frame of each tubelet as a picture, batch x times pictures, those of a clip one after the other."""
    return rearrange(clips[:, :, :: clip.tubelet], "batch channel time row column -> (batch time) channel row column")


def tokens_of_pictures(
    values: Float[Tensor, "pictures places values"], clip: Clip
) -> Float[Tensor, "batch tokens values"]:
    """Return what was computed of the patches of `first_frames` in the order of the clip's tokens."""
    return rearrange(values, "(batch time) place value -> batch (time place) value", time=clip.grid[0])


@dataclass(frozen=True, kw_only=True)
class NormalisedFirstFrames(ComputedTarget):
    """Predict the standardised pixels of a tubelet's first frame, in the order row, column, channel (channel fastest).

    Mean and variance are those of the patch of that frame, over all colours (Feichtenhofer et al., arXiv:2205.09113).
    """

    name: str = "patches"
    modality: str = "video"

    def dim(self, modality: Clip) -> int:
        """Return the number of pixel values of a patch of one frame."""
        return modality.patch_values // modality.tubelet

    def build(self, modality: Clip) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def standardised(batch: Batch) -> Tensor:
            frames = first_frames(batch.inputs[modality.name], modality)
            return tokens_of_pictures(standardise_patches(image_patches(frames, patch=modality.patch)), modality)

        return standardised
