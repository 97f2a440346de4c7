"""Checkpoints: all a run needs to go on bit for bit, in files that cannot hold code.

    checkpoints/step-00001234/model.safetensors       every parameter and buffer of the network
                              optimizer.safetensors   AdamW's moments and step counts, by parameter name
                              state.json              steps taken, position in the stream, run card id, digests

A checkpoint is written to a hidden folder, flushed to the disk and renamed, so a crash at any moment leaves the earlier
checkpoints as they were. It is written from a copy of the tensors, so training goes on while the disk works.

`torch.distributed.checkpoint` would also write several ranks at once and reshard, but its `.metadata` file is a pickle:
opening somebody's run would execute what they put there. Every rank holds the whole network here, so rank 0 can write
plain safetensors, which any other tool reads as well.
"""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shards.errors import MaskloomError, StorageError
from shards.storage import file_digest, storage_errors, sync

MODEL, OPTIMISER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
DIGEST = "xxh3_128"
KEPT = 2
"""Checkpoints kept while training: the newest, and one more in case the newest is lost to the disk."""


class CheckpointError(MaskloomError):
    """A checkpoint is missing, damaged, or belongs to another network."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands: optimiser steps taken, the stream's state as JSON, and the card of the run it belongs to."""

    step: int
    card_id: str
    stream: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run at one step. The tensors are copies in main memory; later training does not change them.

    `optimiser` is empty for weights that were imported and never trained here.
    """

    progress: Progress
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]


def take(network: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> Checkpoint:
    """Copy the network and the optimiser's state to main memory."""
    moments = {
        f"{name}.{key}": value
        for name, parameter in _named_parameters(network, optimiser)
        for key, value in optimiser.state[parameter].items()
    }
    return Checkpoint(progress=progress, model=_copied(network.state_dict()), optimiser=_copied(moments))


def restore(checkpoint: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put a checkpoint's tensors back into the network and the optimiser it was taken from.

    Raises:
        CheckpointError: the names or shapes are not those of this network.
    """
    restore_network(checkpoint, network)
    names = [name for name, _ in _named_parameters(network, optimiser)]
    states: list[dict[str, Tensor]] = [{} for _ in names]
    places = {name: place for place, name in enumerate(names)}
    for entry, value in checkpoint.optimiser.items():
        name, _, key = entry.rpartition(".")
        if name not in places:
            raise CheckpointError(f"The checkpoint holds optimiser state for '{name}', which is not being trained.")
        states[places[name]][key] = value
    filled = {place: state for place, state in enumerate(states) if state}
    optimiser.load_state_dict({"state": filled, "param_groups": optimiser.state_dict()["param_groups"]})


def restore_network(checkpoint: Checkpoint, network: nn.Module) -> None:
    """Put a checkpoint's weights back into a network of the same architecture.

    Raises:
        CheckpointError: the names or shapes are not those of this network.
    """
    try:
        network.load_state_dict(dict(checkpoint.model), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights at step {checkpoint.progress.step} do not fit the network that run.json describes: {error}"
        ) from error


def _named_parameters(network: nn.Module, optimiser: torch.optim.Optimizer) -> list[tuple[str, nn.Parameter]]:
    """The optimiser's parameters with their names in the network, in the optimiser's order."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [(names[parameter], parameter) for group in optimiser.param_groups for parameter in group["params"]]


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def write(root: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint under `root`, completely or not at all, and return its folder.

    Raises:
        StorageError: the folder cannot be written; earlier checkpoints are untouched.
    """
    final = root / f"step-{checkpoint.progress.step:08d}"
    hidden = root / f".writing-{final.name}"
    try:
        hidden.mkdir(parents=True)
        save_file(dict(checkpoint.model), hidden / MODEL)
        save_file(dict(checkpoint.optimiser), hidden / OPTIMISER)
        digests = {name: file_digest(hidden / name, DIGEST) for name in (MODEL, OPTIMISER)}
        state = {**asdict(checkpoint.progress), "digests": digests}
        (hidden / STATE).write_text(json.dumps(state, indent=1) + "\n")
        for path in (*hidden.iterdir(), hidden):
            sync(path)
        hidden.rename(final)
        sync(root)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"Cannot write the checkpoint of step {checkpoint.progress.step} to {final}: {error}. "
            "The checkpoints before it are untouched; make room and give the same command again."
        ) from error
    return final


def listing(root: Path) -> list[Path]:
    """The complete checkpoints under `root`, oldest first; half-written ones are not among them."""
    return sorted(path for path in root.glob("step-*") if (path / STATE).is_file())


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint, checking every byte against the digests it was written with.

    Raises:
        CheckpointError: a file is missing or its bytes have changed.
    """
    advice = f"Remove {folder} to go on from the checkpoint before it."
    try:
        state = json.loads((folder / STATE).read_text())
        for name, recorded in state.pop("digests").items():
            found = file_digest(folder / name, DIGEST)
            if found != recorded:
                raise CheckpointError(f"{folder / name} is damaged: digest {found}, written as {recorded}. {advice}")
        progress = Progress(**state)
        return Checkpoint(progress=progress, model=load_file(folder / MODEL), optimiser=load_file(folder / OPTIMISER))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be read as a checkpoint: {error!r}. {advice}") from error


def latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint under `root`, or None when there is none yet."""
    found = listing(root)
    return load(found[-1]) if found else None


def discard_unfinished(root: Path) -> None:
    """Remove what a killed process left half-written; raises StorageError if it cannot be removed."""
    with storage_errors(root):
        for path in root.glob(".writing-*"):
            shutil.rmtree(path)


class CheckpointWriter:
    """Writes checkpoints in the background, one at a time, and keeps the newest `KEPT` of them.

    Used as a context manager; leaving it waits for the last write. A failed write is raised at the next `save`, or on
    leaving.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._unfinished: Future[None] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Start writing `checkpoint`; waits first if the one before is still being written."""
        self.wait()
        self._unfinished = self._thread.submit(self._write_and_prune, checkpoint)

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk."""
        if self._unfinished is not None:
            unfinished, self._unfinished = self._unfinished, None
            unfinished.result()

    def _write_and_prune(self, checkpoint: Checkpoint) -> None:
        write(self._root, checkpoint)
        with storage_errors(self._root):
            for old in listing(self._root)[:-KEPT]:
                shutil.rmtree(old)

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()
