"""Processes and devices: who this process is among those torchrun started, and what it computes on."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from pipelines.device.choice import DeviceChoice, pick_device


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of one run, seen from one of them."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0


@contextmanager
def join_world(choice: DeviceChoice) -> Iterator[World]:
    """Join the processes torchrun started (gloo on CPUs, NCCL on GPUs); without torchrun, a world of one.

    Raises:
        SettingsError: `cuda` was asked for and there is no GPU.
    """
    rank, size, local_rank = (int(os.environ.get(name, at)) for name, at in _TORCHRUN)
    device = pick_device(choice, local_rank)
    if size == 1:
        yield World(rank=0, size=1, device=device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=size)
    try:
        yield World(rank=rank, size=size, device=device)
    finally:
        dist.destroy_process_group()


_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def make_repeatable(device: torch.device) -> None:
    """Ask torch for algorithms whose result does not depend on timing, so that a resumed run meets the same losses.

    Where a GPU kernel has no such variant torch warns once and uses the other. CPU kernels are repeatable for a given
    number of threads.
    """
    if device.type == "cuda":
        # Read when cuBLAS starts; without it matrix products may differ between calls.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def replicate(network: nn.Module, world: World) -> nn.Module:
    """Average gradients over the world: the network itself in a world of one, wrapped in DDP otherwise."""
    if world.size == 1:
        return network
    device_ids = [world.device.index] if world.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=device_ids)


def await_all(world: World) -> None:
    """Return when every rank has come here."""
    if world.size > 1:
        dist.barrier()


def gather(text: str, world: World) -> Sequence[str]:
    """The `text` of every rank, by rank; it travels as bytes, never as a pickle."""
    if world.size == 1:
        return [text]
    raw = text.encode()
    length = torch.tensor([len(raw)], device=world.device)
    lengths = [torch.zeros_like(length) for _ in range(world.size)]
    dist.all_gather(lengths, length)
    longest = int(torch.cat(lengths).max())
    mine = torch.tensor(list(raw.ljust(longest)), dtype=torch.uint8, device=world.device)
    rows = [torch.zeros_like(mine) for _ in range(world.size)]
    dist.all_gather(rows, mine)
    return [bytes(row[: int(n)].tolist()).decode() for row, n in zip(rows, lengths, strict=True)]
