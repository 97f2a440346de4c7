"""MaskPlan: which tokens the model sees and which it predicts, as indices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """Token indices of one modality, one row per sample; no token is both visible and target."""

    visible: Int[Tensor, "batch visible"]
    target: Int[Tensor, "batch target"]

    def to(self, device: torch.device | str) -> "MaskPlan":
        """Return the plan on `device`."""
        return MaskPlan(
            visible=self.visible.to(device, non_blocking=True), target=self.target.to(device, non_blocking=True)
        )

    def pin_memory(self) -> "MaskPlan":
        """Return the plan in page-locked memory."""
        return MaskPlan(visible=self.visible.pin_memory(), target=self.target.pin_memory())


@runtime_checkable
class Masking(Protocol):
    """Decides a MaskPlan for a batch."""

    def plan(self, keys: Sequence[str], *, modality: Modality, seed: int, epoch: int) -> MaskPlan:
        """Return the plan of the samples `keys`; every draw comes from `(seed, epoch, key)`."""
        ...
