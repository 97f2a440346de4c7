"""Room for the rows of a batch: in a worker process straight in the shared memory that hands them over."""

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import get_worker_info


def allocate(like: Shaped[Tensor, "1 ..."], rows: int) -> Shaped[Tensor, "{rows} ..."]:
    """Return uninitialised memory for `rows` rows in shape, dtype and memory layout of the one row `like`."""
    axes = sorted(range(1, like.dim()), key=like.stride, reverse=True)
    flat = _memory(rows * like.numel(), like.dtype)
    return flat.view(rows, *(like.shape[axis] for axis in axes)).permute(
        0, *(1 + axes.index(a) for a in range(1, like.dim()))
    )


def _memory(values: int, dtype: torch.dtype) -> Shaped[Tensor, " values"]:
    if get_worker_info() is None:
        return torch.empty(values, dtype=dtype)
    # Tensors of a worker that are elsewhere would be copied into shared memory when they are handed over.
    storage = torch.UntypedStorage._new_shared(values * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, (values,))  # type: ignore[call-overload, no-any-return]
