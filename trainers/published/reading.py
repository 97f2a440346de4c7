"""Files of weights: safetensors, PyTorch state dicts and NumPy archives; nothing in them is ever executed."""

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trainers.published.naming import WeightsError

CONTAINERS = ("model", "base_model", "state_dict", "params")
"""Under which of these a state dict may stand in a file of PyTorch, the first that is there."""
FLAX = (".pkl", ".pickle", ".msgpack")
"""Endings of files that flax writes."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a `.safetensors`, `.npz` or `.pth` file; in the last it may stand under `CONTAINERS`.

    Raises:
        WeightsError: There is no such file, it holds no state dict, or it could only be read by executing it.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    if path.suffix in FLAX:
        raise WeightsError(_advice(path))
    readers = {".safetensors": _read_safetensors, ".npz": _read_arrays}
    loaded = readers.get(path.suffix, _read_torch)(path)
    state = _unpacked(loaded)
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(f"{path} holds no state dict, neither alone nor under {', '.join(CONTAINERS)}")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _unpacked(loaded: object) -> object:
    if isinstance(loaded, Mapping):
        return next((loaded[name] for name in CONTAINERS if isinstance(loaded.get(name), Mapping)), loaded)
    return loaded


def _advice(path: Path) -> str:
    return (
        f"{path} is a training state of flax: a pickle, which can only be read by executing what is in it, or bound to the "
        "code that wrote it. It was not opened. Where you trust it, turn it into arrays: load the state, take `params`, and "
        "numpy.savez('weights.npz', **{'/'.join(path): value for path, value in "
        "flax.traverse_util.flatten_dict(params).items()}). `maskloom import` takes weights.npz."
    )


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error


def _read_arrays(path: Path) -> object:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        # The words of numpy would advise to allow pickles.
        raise WeightsError(
            f"{path} is no archive of plain arrays ({type(error).__name__}): it is damaged, or holds objects. Nothing in it "
            "was executed; save the arrays themselves with numpy.savez."
        ) from error


def _read_torch(path: Path) -> object:
    try:
        # Training scripts store their arguments beside the weights; a namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path} cannot be read as plain weights: {error or type(error).__name__}. Nothing in it was executed; convert it "
            "to safetensors where you trust it."
        ) from error
