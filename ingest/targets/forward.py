"""Running a teacher on a device: number format, batches that shrink when memory runs out."""

from __future__ import annotations

import torch
from torch import Tensor

from ingest.teachers import Compute
from pipelines.device.choice import Precision, autocast, precision_dtype
from shards.errors import MaskloomError


class TeacherMemoryError(MaskloomError):
    """The memory of the device does not hold the teacher and one view."""


class Forward:
    """Shows a teacher batches of views.

    Args:
        compute: From views on `device` to targets there.
        device: Where the teacher is.
        precision: Number format of its matrix products.
        batch: Most views at a time; halved for good whenever memory runs out.
    """

    def __init__(self, compute: Compute, *, device: torch.device, precision: Precision, batch: int) -> None:
        self.batch = batch
        self._compute = compute
        self._device = device
        self._dtype = precision_dtype(precision)

    @torch.no_grad()
    def __call__(self, views: Tensor) -> Tensor:
        """Return the targets of some views, which may be anywhere: float32 or int64 [views, *shape], on the device.

        Raises:
            TeacherMemoryError: There is not even memory for one view.
        """
        while True:
            try:
                starts = range(0, len(views), self.batch)
                return torch.cat([self._shown(views[start : start + self.batch]) for start in starts])
            except torch.OutOfMemoryError as error:
                self._halve(error)

    def _shown(self, views: Tensor) -> Tensor:
        on_device = _pinned(views, self._device).to(self._device, non_blocking=True)
        with autocast(self._device, self._dtype):
            said = self._compute(on_device)
        return said.float() if said.is_floating_point() else said

    def _halve(self, error: Exception) -> None:
        if self.batch == 1:
            raise TeacherMemoryError(
                f"{self._device} has no memory for the teacher and a single view. Use a smaller model, or --device cpu."
            ) from error
        self.batch //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _pinned(views: Tensor, device: torch.device) -> Tensor:
    """Return views in memory that a GPU copies from faster."""
    return views.pin_memory() if device.type == "cuda" else views
