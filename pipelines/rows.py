"""Room for the rows of a batch: in a worker process straight in the shared memory that hands them over."""

import mmap
import weakref

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import get_worker_info

OWN_PAGES = 1 << 20
"""Rows of this many bytes get pages of their own. From the heap, they would leave holes that index entries, which live longer,
break up: the process would grow by gigabytes."""

KEPT = 4
"""Free pieces of one size that wait for the next batch; more go back to the system."""


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
        own = size >= OWN_PAGES
        return torch.from_numpy(_PAGES.take(size)).view(dtype) if own else torch.empty(values, dtype=dtype)
    # Tensors of a worker that are elsewhere would be copied into shared memory when they are handed over.
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, (values,))  # type: ignore[call-overload, no-any-return]


class RecycledPages:
    """Memory that goes from batch to batch: the first touch of a new page costs as much as decoding into ten old ones."""

    def __init__(self) -> None:
        self._free: dict[int, list[mmap.mmap]] = {}

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes that nobody else has, with anything in them, until the array is not referred to any more."""
        free = self._free.setdefault(size, [])
        pages = free.pop() if free else mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        lent = np.frombuffer(pages, np.uint8)
        weakref.finalize(lent, self._take_back, pages).atexit = False
        return lent

    def _take_back(self, pages: mmap.mmap) -> None:
        free = self._free[len(pages)]
        if len(free) < KEPT:
            free.append(pages)


_PAGES = RecycledPages()
