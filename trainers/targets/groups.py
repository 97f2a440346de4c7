"""The points of the groups of a cloud."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Points
from pipelines.tokenizers.vq.groups import groups_as_placed
from trainers.recipe import Places


@dataclass(frozen=True, kw_only=True)
class GroupPoints:
    """Predict the points of a group from its centre, by point, then x, y, z; their order does not count."""

    name: str = "points"
    modality: str = "points"

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset: the points are in the batch."""
        return None

    @property
    def places(self) -> Places:
        """At the hidden groups."""
        return "target"

    def stored_shape(self, modality: Points) -> tuple[int, int]:
        """Return groups, and values of one."""
        return modality.num_tokens, self.dim(modality)

    def dim(self, modality: Points) -> int:
        """Return three values for each point of a group."""
        return 3 * modality.neighbours

    def build(self, modality: Points) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, groups, values]."""

        def grouped(batch: Batch) -> Tensor:
            places = batch.inputs[modality.name][..., :3].float()
            return groups_as_placed(places, modality).points.flatten(2)

        return grouped
