"""The points of the groups of a cloud."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Points
from pipelines.tokenizers.vq.groups import groups_as_placed
from trainers.targets.computed import ComputedTarget


@dataclass(frozen=True, kw_only=True)
class GroupPoints(ComputedTarget):
    """Predict the points of a group from its centre, by point, then x, y, z; their order does not count."""

    name: str = "points"
    modality: str = "points"

    def dim(self, modality: Points) -> int:
        """Return three values for each point of a group."""
        return 3 * modality.neighbours

    def build(self, modality: Points) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, groups, values]."""

        def grouped(batch: Batch) -> Tensor:
            places = batch.inputs[modality.name][..., :3].float()
            return groups_as_placed(places, modality).points.flatten(2)

        return grouped
