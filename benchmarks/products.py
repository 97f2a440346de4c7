"""The matrix products of a piece of work: how many floating point operations it takes, and how fast they are by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_MATRICES = {
    torch.ops.aten.mm: (0, 1),
    torch.ops.aten.bmm: (0, 1),
    torch.ops.aten.addmm: (1, 2),
    torch.ops.aten.baddbmm: (1, 2),
}
"""Which arguments of an operation are multiplied."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """`count` products of [rows, inner] with [inner, columns] at once."""

    count: int
    rows: int
    inner: int
    columns: int
    dtype: torch.dtype

    @property
    def flop(self) -> int:
        """Floating point operations: a multiplication and an addition each."""
        return 2 * self.count * self.rows * self.inner * self.columns

    def operands(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return two random operands."""
        left, right = (self.rows, self.inner), (self.inner, self.columns)
        made = (
            torch.randn(shape if self.count == 1 else (self.count, *shape), device=device, dtype=self.dtype)
            for shape in (left, right)
        )
        return next(made), next(made)


Products = Mapping[Product, int]
"""How often each product is computed."""


class _Recorder(TorchDispatchMode):
    """Counts the products that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Note the product, if it is one, and compute it."""
        if func.overloadpacket in _MATRICES:
            left, right = (args[place] for place in _MATRICES[func.overloadpacket])
            count = left.shape[0] if left.ndim == 3 else 1
            rows, inner = left.shape[-2:]
            product = Product(count=count, rows=rows, inner=inner, columns=right.shape[-1], dtype=left.dtype)
            self.products[product] += 1
        return func(*args, **(kwargs or {}))


def products_of(work: Callable[[], object]) -> Products:
    """Run `work` once and return its products, those inside of attention included, but not those of convolutions.

    Fused attention is computed step by step here, so that what it multiplies can be seen; what it computes twice, to save
    memory, is not counted.
    """
    with sdpa_kernel(SDPBackend.MATH), _Recorder() as recorder:
        work()
    return recorder.products


def flop_of(work: Callable[[], object]) -> int:
    """Run `work` once and return the floating point operations of its products and convolutions, attention likewise."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def flop_of_products(products: Products) -> int:
    """Return the floating point operations of all products."""
    return sum(product.flop * times for product, times in products.items())


def seconds_alone(
    products: Products, device: torch.device, seconds_of: Callable[[Callable[[], object]], float]
) -> float:
    """Return the seconds that products take by themselves, one after the other, operands at hand.

    `seconds_of` times a piece of work. Products of the same shape have the same operands, which is the best that can happen to
    them.
    """
    total = 0.0
    for product, times in products.items():
        left, right = product.operands(device)
        result = left @ right

        def multiply(left: Tensor = left, right: Tensor = right, result: Tensor = result, times: int = times) -> None:
            for _ in range(times):
                torch.matmul(left, right, out=result)

        total += seconds_of(multiply)
    return total
