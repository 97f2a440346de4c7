"""Uniform numbers for every element of a tensor, made where the tensor is."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.randomness import GOLDEN_GAMMA, Draws

_BITS = 24
"""As many bits as a float32 between 1/2 and 1 tells apart."""


def uniform_noise(
    draws: Draws, shape: tuple[int, ...], *, purpose: str, device: torch.device
) -> Float[Tensor, "batch ..."]:
    """Return uniform numbers in [0, 1), float32 [batch, *shape], on `device`.

    The same on every device: element j of a row, in C order, is `draws.uniforms(...)[row, j]`, rounded down to 24 bits.
    """
    count = math.prod(shape)
    starts = torch.from_numpy(draws.hashes(purpose).view("int64")).to(device)
    counters = torch.arange(1, count + 1, device=device) * _signed(int(GOLDEN_GAMMA))
    bits = _mix64(starts[:, None] + counters)
    return (_shifted(bits, 64 - _BITS).float() * 2.0**-_BITS).reshape(len(draws), *shape)


def _mix64(values: Int[Tensor, "batch count"]) -> Int[Tensor, "batch count"]:
    """Scramble 64-bit values as `randomness.mix64` does; int64 wraps round as uint64, which torch hardly computes with."""
    mixed = (values ^ _shifted(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ _shifted(mixed, 27)) * _signed(0x94D049BB133111EB)
    return mixed ^ _shifted(mixed, 31)


def _shifted(values: Int[Tensor, "batch count"], places: int) -> Int[Tensor, "batch count"]:
    """Shift to the right, zeros following from the left."""
    return (values >> places) & ((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
