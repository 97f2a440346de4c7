"""What is computed on, and in which number format, as the user says it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from shards.errors import SettingsError

DeviceChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]
Precision = Literal["fp32", "bf16"]


def pick_device(choice: DeviceChoice, local_rank: int = 0) -> torch.device:
    """The device of this process; `auto` takes the GPU of the local rank when there is one.

    Raises:
        SettingsError: `cuda` was asked for and there is no GPU.
    """
    if choice == "cpu" or (choice == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SettingsError("--device cuda was asked for, but torch finds no CUDA device here. Use --device auto.")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def pick_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """The number format of matrix products; `auto` is bf16 on a GPU, where it is the faster, and fp32 on a CPU."""
    if choice == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return choice


def precision_dtype(precision: Precision) -> torch.dtype:
    """The dtype of matrix products."""
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Run matrix products in `dtype`; parameters and reductions stay in float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
