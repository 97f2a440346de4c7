"""What the tokens of a modality hold themselves: what an autoencoder has to give back."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Raster
from pipelines.tokenizers.vq.contents import Tokenised, contents, num_values
from shards.errors import SettingsError
from trainers.recipe import Places


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Give back numbers, normalised as `pipelines.tokenizers.vq.contents` says; NaN where nothing was measured."""

    modality: str
    name: str = "contents"

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset: it is in the batch."""
        return None

    @property
    def places(self) -> Places:
        """At all tokens."""
        return "all"

    def stored_shape(self, modality: Tokenised) -> tuple[int, int]:
        """Return tokens, and values of one."""
        return modality.num_tokens, self.dim(modality)

    def dim(self, modality: Tokenised) -> int:
        """Return the number of values that a token holds."""
        return num_values(modality)

    def build(self, modality: Tokenised) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, values]."""

        def held(batch: Batch) -> Tensor:
            return contents(modality, batch.inputs[modality.name])

        return held


@dataclass(frozen=True, kw_only=True)
class ClassIds:
    """Give back the class of every pixel, of 0 to `classes` - 1; other ids are no class."""

    classes: int
    modality: str
    name: str = "classes"

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise SettingsError(f"targets.{self.name}.classes is {self.classes}; there have to be 2 at least.")

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset: it is in the batch."""
        return None

    @property
    def places(self) -> Places:
        """At all tokens."""
        return "all"

    def stored_shape(self, modality: Raster) -> tuple[int, int]:
        """Return tokens, and pixels of one."""
        return modality.num_tokens, modality.patch_values

    def dim(self, modality: Raster) -> int:
        """Return the number of scores of a token: one for each class at each pixel."""
        return modality.patch_values * self.classes

    def build(self, modality: Raster) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to int64 ids [batch, tokens, pixels]; SettingsError if there are none."""
        if not modality.is_ids:
            raise SettingsError(f"'{modality.name}' holds numbers, not class ids; it can be tokenised by vq_depth.")

        def held(batch: Batch) -> Tensor:
            return contents(modality, batch.inputs[modality.name])

        return held
