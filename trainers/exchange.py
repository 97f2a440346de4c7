"""What the processes of a run tell each other about a step; with one process, nothing is exchanged."""

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def num_processes() -> int:
    """Return how many processes compute a step together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def averaged(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the elementwise mean over all processes, without gradient.

    A sum over what a process has, divided by the mean of the counts of all, becomes the mean over what all processes have once
    gradients are averaged over them.
    """
    if num_processes() == 1:
        return values.detach()
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / num_processes()


def gathered(rows: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "every ..."]:
    """Return the rows of all processes, by rank; each has as many. Gradients go back to the process whose rows they are."""
    if num_processes() == 1:
        return rows
    every: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return every


def rank() -> int:
    """Return which process this is; its own rows stand in that place in `gathered`."""
    return dist.get_rank() if dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    """All rows forward; backward, the sum over all processes of what they say about the rows of this one."""

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(num_processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def setup_context(ctx: "torch.autograd.function.FunctionCtx", inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing has to be kept."""

    @staticmethod
    def backward(ctx: "torch.autograd.function.FunctionCtx", gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed.tensor_split(num_processes())[dist.get_rank()]
