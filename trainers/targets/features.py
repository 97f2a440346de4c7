"""What a teacher said of every token, or of the whole sample, read from the dataset: a vector for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm

from pipelines.batch import Batch
from trainers.recipe import Places

Normalisation = Literal["layer_norm", "none"]


def layer_normed(features: Float[Tensor, "*places width"]) -> Float[Tensor, "*places width"]:
    """Return every vector with mean zero and variance one over its values, without gain and bias (eps 1e-5)."""
    return layer_norm(features, features.shape[-1:])


@dataclass(frozen=True, kw_only=True)
class FeatureTarget:
    """Predict stored vectors of `width` values, which is what the teacher gives.

    Args:
        table: The stored target, as `trainers.stored` understands it: `clip`, `clip:output=patches,layer=8`, or an id.
        width: Values of a vector.
        places: Where they are predicted; "sample" for a vector of the whole sample.
        normalisation: "layer_norm" takes mean and spread out of each vector, "none" leaves vectors as they are.
        suggested: Settings of a teacher that gives such vectors, for whoever has none stored yet.
        name: Its name in the recipe.
        modality: Whose tokens they belong to.
    """

    table: str
    width: int
    places: Places
    normalisation: Normalisation
    suggested: tuple[str, ...] = ()
    name: str = "features"
    modality: str = "image"

    @property
    def stored(self) -> str:
        """The stored target to read."""
        return self.table

    def made_with(self, modality: Any) -> tuple[str, ...]:  # noqa: ANN401 - any grid of tokens
        """Return settings of a teacher that fit: its grid is that of the modality."""
        return (*self.suggested, *((f"patch={modality.patch}",) if hasattr(modality, "patch") else ()))

    def stored_shape(self, modality: Any) -> tuple[int, ...]:  # noqa: ANN401
        """Return tokens, unless it is one vector of the sample, and values of one."""
        return (self.width,) if self.places == "sample" else (modality.num_tokens, self.width)

    def dim(self, modality: Any) -> int:  # noqa: ANN401
        """Return the width of a vector."""
        return self.width

    def build(self, modality: Any) -> Callable[[Batch], Tensor]:  # noqa: ANN401
        """Return the function from a batch to float32 [batch, tokens, width], or [batch, width] of whole samples."""
        normalised = layer_normed if self.normalisation == "layer_norm" else _as_stored

        def read(batch: Batch) -> Tensor:
            return normalised(batch.stored[self.table])

        return read


def _as_stored(features: Tensor) -> Tensor:
    return features
