"""Histograms of oriented gradients: computed from the pixels of the batch, or read from the dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Clip, Image
from pipelines.transforms.hog import BINS, CELLS_PER_SIDE, patch_hog
from shards.errors import SettingsError
from trainers.recipe import Places
from trainers.targets.first_frames import first_frames, tokens_of_pictures


@dataclass(frozen=True, kw_only=True)
class HogTarget:
    """Predict the histograms of 2 x 2 cells per patch, nine bins for each colour channel.

    A cell is half a patch wide, so it is 8 x 8 pixels for patches of 16. Of a tubelet they are those of its first frame, as in
    the official code (facebookresearch/SlowFast, `_get_hog_label_3d`). `source` says where the values come from:
    "computed" from the pixels at every step, or "stored", made once by `maskloom targets DATASET --teacher hog`.
    `table` names the stored target by teacher, or by its full id where a dataset has several of that teacher.
    """

    source: Literal["computed", "stored"]
    table: str = "hog"
    name: str = "hog"
    modality: str = "image"

    @property
    def stored(self) -> str | None:
        """The stored target to read, if any."""
        return self.table if self.source == "stored" else None

    @property
    def places(self) -> Places:
        """At the hidden patches."""
        return "target"

    def made_with(self, modality: Image | Clip) -> tuple[str, ...]:
        """Return settings of the teacher that fit."""
        return (f"patch={modality.patch}",)

    def stored_shape(self, modality: Image | Clip) -> tuple[int, int]:
        """Return patches, and values of one."""
        return modality.num_tokens, self.dim(modality)

    def dim(self, modality: Image | Clip) -> int:
        """Return channels x bins x cells."""
        channels = 3 if isinstance(modality, Clip) else modality.channels
        return channels * BINS * CELLS_PER_SIDE**2

    def build(self, modality: Image | Clip) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, dim]; SettingsError if the patch side is odd."""
        return _reader(self.table) if self.source == "stored" else _computer(modality)


def _reader(table: str) -> Callable[[Batch], Tensor]:
    def read(batch: Batch) -> Tensor:
        return batch.stored[table]

    return read


def _computer(modality: Image | Clip) -> Callable[[Batch], Tensor]:
    if modality.patch % CELLS_PER_SIDE:
        raise SettingsError(
            f"HOG splits each patch into {CELLS_PER_SIDE} x {CELLS_PER_SIDE} cells, "
            f"which a patch of {modality.patch} pixels does not allow; "
            f"choose an even modalities.{modality.name}.patch"
        )

    def of_pictures(batch: Batch) -> Tensor:
        return patch_hog(batch.inputs[modality.name], patch=modality.patch)

    def of_clips(batch: Batch) -> Tensor:
        assert isinstance(modality, Clip)
        frames = first_frames(batch.inputs[modality.name], modality)
        return tokens_of_pictures(patch_hog(frames, patch=modality.patch), modality)

    return of_clips if isinstance(modality, Clip) else of_pictures
