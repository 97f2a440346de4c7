"""Batches are copied to the device while it still computes on the ones before."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.device.decode import decoded
from pipelines.state import StreamState

Copy = Callable[[Batch], Batch]
"""Returns a batch on a device."""


@runtime_checkable
class Batches(Protocol):
    """A stream of batches that knows where it stands."""

    @property
    def state(self) -> StreamState:
        """The position after the last batch handed out."""
        ...

    def __next__(self) -> Batch:
        """Return the next batch."""
        ...


class OnDevice:
    """The batches of a stream on a device, with pictures decoded that were left encoded; its state is that of the stream.

    Args:
        stream: Where batches come from; in page-locked memory if they are copied to a GPU.
        device: Where they go.
    """

    def __init__(self, stream: Batches, device: torch.device) -> None:
        self._stream = stream
        self._device = device
        self._copy = copy_to(device)

    @property
    def state(self) -> StreamState:
        """The position after the last batch handed out."""
        return self._stream.state

    def __next__(self) -> Batch:
        """Return the next batch on the device.

        Raises:
            CorruptShardError: A picture cannot be decoded on the device; names its key.
        """
        return decoded(self._copy(next(self._stream)), self._device)


def copy_to(device: torch.device) -> Copy:
    """Return what copies batches to a device: on a stream of its own if the device is a GPU."""
    return SideStreamCopy(device) if device.type == "cuda" else lambda batch: batch.to(device)


class SideStreamCopy:
    """Copies on a stream of its own, which does not wait for what the GPU has still to compute.

    The host runs ahead of the GPU, so the copy of a batch goes on beside the step before it. Work that is queued after a
    copy waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch on the GPU."""
        with torch.cuda.stream(self._side):
            copied = batch.to(self._device)
        consumer = torch.cuda.current_stream(self._device)
        consumer.wait_stream(self._side)
        return copied.changed(lambda tensor: _used_by(tensor, consumer))


def _used_by(tensor: Tensor, consumer: torch.cuda.Stream) -> Tensor:
    """Keep the memory of a tensor from being reused before another stream has done with it."""
    tensor.record_stream(consumer)
    return tensor
