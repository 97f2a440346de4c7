"""Batch: what one optimiser step works on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from pipelines.damage import DamagedSample
from pipelines.encoded import EncodedPictures
from pipelines.masking.plan import MaskPlan
from pipelines.visits import Visits


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The samples of one step on one rank.

    Args:
        keys: Keys of the samples.
        visits: Which samples these are, of which dataset, in which of its epochs, in which pack.
        inputs: What the modalities render to, by their names, not normalised; see `pipelines.modalities`. A sample that
            lacks a modality has a row that says nothing.
        lengths: For modalities whose samples differ in length or may be absent, how many tokens each sample really has,
            int64 [batch], 0 for an absent one. A modality that is not named has all of its tokens in every sample.
        plans: Visible and target tokens, by the name of the modality.
        stored: Stored targets of exactly the views shown in `inputs`, by name, in the dtype they are stored in.
        labels: Class of each sample, -1 where it has none; None when no dataset has labels.
        encoded: Pictures that are still as they are stored, for a device that decodes them, by the name of the modality;
            they are not in `inputs` yet.
        damage: Samples that were wanted and could not be used; others stand in their places.
        step: Global batches before this one.
    """

    keys: tuple[str, ...]
    visits: Visits
    inputs: Mapping[str, Shaped[Tensor, "batch ..."]]
    lengths: Mapping[str, Int[Tensor, " batch"]]
    plans: Mapping[str, MaskPlan]
    stored: Mapping[str, Shaped[Tensor, "batch ..."]]
    labels: Int[Tensor, " batch"] | None
    damage: tuple[DamagedSample, ...]
    step: int
    encoded: Mapping[str, EncodedPictures] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`; the copy is asynchronous if the batch is in page-locked memory."""
        return self.changed(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory."""
        return self.changed(Tensor.pin_memory)

    def rows(self, rows: slice) -> "Batch":
        """Return some of the samples; encoded pictures have to be decoded before."""
        assert not self.encoded, list(self.encoded)
        part = replace(self, keys=self.keys[rows], visits=self.visits.at(rows))
        return part.changed(lambda tensor: tensor[rows])

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with every tensor changed, those of encoded pictures apart, which decoders want on the host."""
        return replace(
            self,
            inputs={name: change(tensor) for name, tensor in self.inputs.items()},
            lengths={name: change(tensor) for name, tensor in self.lengths.items()},
            plans={name: plan.changed(change) for name, plan in self.plans.items()},
            stored={name: change(tensor) for name, tensor in self.stored.items()},
            labels=None if self.labels is None else change(self.labels),
        )
