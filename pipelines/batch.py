"""Batch: what one optimiser step works on."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from pipelines.masking.plan import MaskPlan


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The samples of one step on one rank.

    Args:
        keys: Keys of the samples.
        inputs: Decoded fields, all rendered with the same view: images as uint8 [batch, 3, size, size], not normalised,
            rasters as float32 [batch, channels, size, size], ids as int64 [batch, channels, size, size].
        plans: Visible and target tokens, by the field of the modality.
        stored: Stored targets of exactly the views shown in `inputs`, by name, in the dtype they are stored in.
        labels: Class of each sample, -1 where it has none; None when the dataset has no labels.
        epoch: Epoch the batch belongs to, from 0.
        step: Step inside the epoch, from 0.
    """

    keys: tuple[str, ...]
    inputs: Mapping[str, Shaped[Tensor, "batch ..."]]
    plans: Mapping[str, MaskPlan]
    stored: Mapping[str, Shaped[Tensor, "batch ..."]]
    labels: Int[Tensor, " batch"] | None
    epoch: int
    step: int

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`; the copy is asynchronous if the batch is in page-locked memory."""
        return Batch(
            keys=self.keys,
            inputs={name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()},
            plans={name: plan.to(device) for name, plan in self.plans.items()},
            stored={name: tensor.to(device, non_blocking=True) for name, tensor in self.stored.items()},
            labels=None if self.labels is None else self.labels.to(device, non_blocking=True),
            epoch=self.epoch,
            step=self.step,
        )

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory."""
        return Batch(
            keys=self.keys,
            inputs={name: tensor.pin_memory() for name, tensor in self.inputs.items()},
            plans={name: plan.pin_memory() for name, plan in self.plans.items()},
            stored={name: tensor.pin_memory() for name, tensor in self.stored.items()},
            labels=None if self.labels is None else self.labels.pin_memory(),
            epoch=self.epoch,
            step=self.step,
        )
