"""Small checkpoints in the formats that the libraries publish, for the tests of teachers; seeded, never trained."""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"embed_dim": 48, "depth": 3, "num_heads": 4, "img_size": 64}


def some_pictures(count: int = 3, size: int = 64) -> Tensor:
    """Views as a renderer gives them: uint8 [count, 3, size, size]."""
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


def timm_network(name: str, **arguments: Any) -> Any:
    """A network of timm with seeded weights, norms and biases included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=0, **{**SMALL, **arguments})
        with torch.no_grad():
            for value in network.parameters():
                value.add_(torch.randn_like(value), alpha=0.1)
    return network.eval()


def saved_timm(folder: Path, network: Any, name: str, **arguments: Any) -> Path:
    """Write timm's state dict as safetensors, with what timm writes into `config.json` in the header."""
    header = {"architecture": name, "model_args": {**SMALL, **arguments}}
    path = folder / f"{name}.safetensors"
    save_file(network.state_dict(), path, metadata={"timm": json.dumps(header)})
    return path


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def hostile_pickle(path: Path, witness: Path, state: Mapping[str, Tensor]) -> Path:
    """Write weights as torch does, with code beside them."""
    torch.save({"state_dict": dict(state), "more": Payload(witness)}, path)
    return path


def plain_pickle(path: Path, witness: Path) -> Path:
    """Write a bare pickle that is code and nothing else."""
    path.write_bytes(pickle.dumps(Payload(witness)))
    return path
