"""Weights of teachers: read without executing anything, and told apart by a digest that no file format changes."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from shards.errors import SettingsError

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("_orig_mod.", "module.")
_SHOWN_NAMES = 6
_SHOWN_LETTERS = 240
_SHOWN_LINES = 4

State = dict[str, Tensor]


def read_state(path: Path) -> State:
    """Return the weights in a file by their names, on the CPU.

    Read are `.safetensors`, and `.pt`, `.pth` and `.bin` with torch's restricted unpickler, which builds tensors and plain
    containers and nothing else. The weights may stand under "state_dict" or "model"; what `DistributedDataParallel` and
    `torch.compile` put before the names is taken off.

    Raises:
        SettingsError: There is no such file, it holds no weights, or reading it would mean executing what is in it.
    """
    _require_file(path)
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise SettingsError(
            f"{path} holds no weights by name, neither alone nor under 'state_dict' or 'model'; found {_described(found)}."
        )
    return {_without_prefixes(str(name)): value.detach() for name, value in found.items()}


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, dtypes, shapes and bytes of weights, in the order of their names.

    It depends on neither the format of the file nor the device.
    """
    digest = sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the `state_digest` of the weights in a file; computed once in a process while the file stays the same.

    Raises:
        SettingsError: See `read_state`.
    """
    _require_file(path)
    facts = path.stat()
    return _file_digest(path, facts.st_mtime_ns, facts.st_size)


def header_of(path: Path) -> Mapping[str, str]:
    """Return the metadata in the header of a `.safetensors` file, which is text; empty for other files.

    Raises:
        SettingsError: There is no such file, or it is damaged.
    """
    _require_file(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except SafetensorError as error:
        raise SettingsError(f"{path} is not a whole safetensors file: {error}.") from error


def load_strictly(network: torch.nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Give a network its weights, all of them and no other.

    Raises:
        SettingsError: A name is missing, or is one too many, or has another shape.
    """
    wanted = network.state_dict()
    complaints = [
        _listed("missing", (name for name in wanted if name not in state)),
        _listed("unexpected", (name for name in state if name not in wanted)),
        _listed(
            "of another shape",
            (
                f"{name} is {tuple(state[name].shape)}, needed {tuple(value.shape)}"
                for name, value in wanted.items()
                if name in state and state[name].shape != value.shape
            ),
        ),
    ]
    if any(complaints):
        raise SettingsError(f"The weights are not those of {what}. {' '.join(filter(None, complaints))}")
    network.load_state_dict(state)


def shortened(error: Exception) -> str:
    """Return the first lines of what a library says, each cut: torch lists every weight that does not fit."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    shown = [line if len(line) <= _SHOWN_LETTERS else f"{line[:_SHOWN_LETTERS]} ..." for line in filter(None, lines)]
    return " ".join(shown[:_SHOWN_LINES])


@lru_cache(maxsize=8)
def _file_digest(path: Path, _changed_ns: int, _size: int) -> str:
    return state_digest(read_state(path))


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise SettingsError(f"There is no file of weights '{path}'.")
    if path.suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise SettingsError(
            f"Weights are read from .safetensors, or {', '.join(TORCH_SUFFIXES)}; '{path}' is none of these."
        )


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise SettingsError(f"{path} is not a whole safetensors file: {error}.") from error


def _read_torch(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        # Training scripts store their arguments beside the weights; a namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # Older and newer pickles than torch's own are read all the same, or refused with a message.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            warnings.filterwarnings("ignore", message="'torch.load' received a zip file", category=UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(
            f"{path} cannot be read as plain weights: {str(error).partition(chr(10))[0]} Nothing in it was executed; "
            "convert it to safetensors where you trust it."
        ) from error


def _without_prefixes(name: str) -> str:
    shorter = name
    for prefix in _PREFIXES:
        shorter = shorter.removeprefix(prefix)
    return shorter if shorter == name else _without_prefixes(shorter)


def _described(found: object) -> str:
    if not isinstance(found, Mapping):
        return f"a {type(found).__name__}"
    names = [f"'{name}'" for name in found]
    return f"only {', '.join(names[:_SHOWN_NAMES])}" if names else "nothing"


def _listed(what: str, names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:_SHOWN_NAMES]) + (", ..." if len(every) > _SHOWN_NAMES else "")
    return f"{len(every)} {what}: {shown}." if every else ""
