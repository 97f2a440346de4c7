"""Room for the rows of a batch: in a worker process straight in the shared memory that hands them over."""

import mmap

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import get_worker_info

OWN_PAGES = 1 << 20
"""Rows of this many bytes get pages of their own, which go back to the system. From the heap, they would leave holes that index
entries, which live longer, break up: the process would grow by gigabytes."""


def allocate(like: Shaped[Tensor, "1 ..."], rows: int) -> Shaped[Tensor, "{rows} ..."]:
    """Return uninitialised memory for `rows` rows in shape, dtype and memory layout of the one row `like`."""
    axes = sorted(range(1, like.dim()), key=like.stride, reverse=True)
    flat = _memory(rows * like.numel(), like.dtype)
    return flat.view(rows, *(like.shape[axis] for axis in axes)).permute(
        0, *(1 + axes.index(a) for a in range(1, like.dim()))
    )


def _memory(values: int, dtype: torch.dtype) -> Shaped[Tensor, " values"]:
    size = values * dtype.itemsize
    if get_worker_info() is None:
        return torch.empty(values, dtype=dtype) if size < OWN_PAGES else torch.frombuffer(_pages(size), dtype=dtype)
    # Tensors of a worker that are elsewhere would be copied into shared memory when they are handed over.
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, (values,))  # type: ignore[call-overload, no-any-return]


def _pages(size: int) -> mmap.mmap:
    pages = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
