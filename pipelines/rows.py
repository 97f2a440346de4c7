"""Room for the rows of a batch: in a worker process straight in the shared memory that hands them over."""

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import get_worker_info


def allocate(like: Shaped[Tensor, "1 ..."], rows: int) -> Shaped[Tensor, "{rows} ..."]:
    """Return uninitialised memory for `rows` rows in shape, dtype and memory layout of the one row `like`."""
    is_channels_last = like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last)
    first = like.permute(0, 2, 3, 1) if is_channels_last else like
    flat = _memory(rows * first.numel(), like.dtype)
    whole = flat.view(rows, *first.shape[1:])
    return whole.permute(0, 3, 1, 2) if is_channels_last else whole


def _memory(values: int, dtype: torch.dtype) -> Shaped[Tensor, " values"]:
    if get_worker_info() is None:
        return torch.empty(values, dtype=dtype)
    # Tensors of a worker that are elsewhere would be copied into shared memory when they are handed over.
    storage = torch.UntypedStorage._new_shared(values * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, (values,))  # type: ignore[call-overload, no-any-return]
