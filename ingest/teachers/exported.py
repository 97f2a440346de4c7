"""A network of the user's own as a teacher: a program that torch.export wrote, or a function that was typed."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ingest.networks.programs import Program, read_program
from ingest.networks.resizing import NORMALISATIONS, Preparation
from ingest.networks.weights import state_digest
from ingest.teachers import Compute
from pipelines.modalities import Image
from shards.errors import SettingsError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Maps prepared pictures, float32 [batch, 3, side, side], to one array each: floats, or ids.

    `function=package.module:function` is imported, which executes it. It is called once, without arguments, and returns what
    computes: a module, which is moved to the device and evaluated, or a function. It is followed because it was typed; a
    target.json never gets here by being looked at, only by a run that somebody starts.

    `program` is a `.pt2` file of `torch.export.save` with one input and one output. torch would execute code in such a file
    when it loads it, so it is looked through first, and refused unless it is a plain network: see
    `ingest.networks.programs`. It is moved to the device as a whole.

    Args:
        size: Side of the views in pixels.
        program: The file.
        function: The function, in place of a file.
        patch: Side of the trainer's patches.
        input_size: Side of what the network is shown; 0: what the program takes, or the size of the views.
        normalisation: "imagenet" and "half" (0.5, 0.5) are mean and standard deviation of pixels in [0, 1], "unit" leaves
            them in [0, 1].
        ids: How many ids there are, of a network that gives whole numbers; 0 for one that gives floats.

    Raises:
        SettingsError: There is no program or function, or both; when a property is asked for.
    """

    size: int
    program: str = ""
    function: str = ""
    patch: int = 16
    input_size: int = 0
    normalisation: Literal["imagenet", "half", "unit"] = "imagenet"
    ids: int = 0

    @property
    def modality(self) -> Image:
        """Pictures."""
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output: what the program says, or what the function gives for a black picture."""
        if self._is_function:
            compute, side = _called(self.function), self._preparation.size
            with torch.inference_mode():
                return tuple(compute(torch.zeros(1, 3, side, side)).shape[1:])
        return self._program.shape

    @property
    def vocabulary(self) -> int | None:
        """How many ids there are, as it was said."""
        return self.ids or None

    @property
    def preprocessing(self) -> str:
        """Resizing and normalisation."""
        return self._preparation.described(self.size)

    @property
    def weights_sha256(self) -> str:
        """Digest of the file; of a function, of the source it stands in, and of the weights of a module that it returns.

        What that source imports is not covered.
        """
        if not self._is_function:
            _ = self._program
            return hashlib.sha256(Path(self.program).read_bytes()).hexdigest()
        made = _called(self.function)
        weights = state_digest(made.state_dict()) if isinstance(made, nn.Module) else ""
        return hashlib.sha256(_source(self.function) + weights.encode()).hexdigest()

    @property
    def packages(self) -> tuple[str, ...]:
        """Nothing that we know of."""
        return ()

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to the output."""
        run = _on_device(_called(self.function), device) if self._is_function else _runner(self._program, device)
        prepare = self._preparation

        @torch.inference_mode()
        def compute(images: Tensor) -> Tensor:
            found = run(prepare(images))
            _require_kind(found, ids=self.ids)
            return found.long() if self.ids else found.float()

        return compute

    @property
    def _is_function(self) -> bool:
        if bool(self.program) == bool(self.function):
            raise SettingsError(
                "An exported teacher needs --set program=FILE.pt2, or --set function=package.module:function; give one."
            )
        return bool(self.function)

    @property
    def _program(self) -> Program:
        return read_program(Path(self.program))

    @property
    def _preparation(self) -> Preparation:
        mean, deviation = NORMALISATIONS[self.normalisation]
        side = self.input_size or self.size
        if not self._is_function:
            side = self._program.side
            if self.input_size not in (0, side):
                raise SettingsError(
                    f"{self.program} takes pictures of {side} pixels; input_size={self.input_size} was asked for."
                )
        return Preparation(size=side, mean=mean, deviation=deviation)


def _source(function: str) -> bytes:
    """Return the source of the module of a function; nothing where it has none."""
    found = sys.modules[function.partition(":")[0]].__file__
    return Path(found).read_bytes() if found else b""


def _runner(program: Program, device: torch.device) -> Compute:
    """Return a program on a device, for any number of pictures: split, or filled up with the last, where it takes others."""
    from torch.export.passes import move_to_device_pass

    module = move_to_device_pass(program.exported, str(device)).module()

    def run(images: Tensor) -> Tensor:
        found = []
        for part in torch.split(images, program.most):
            missing = max(0, program.least - len(part))
            filled = torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing else part
            found.append(module(filled)[: len(part)])
        return torch.cat(found)

    return run


def _called(name: str) -> Compute:
    """Return what the function `package.module:function` makes; the current folder counts as a place for modules."""
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name:
        raise SettingsError(f"A function is named package.module:function; found '{name}'.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is found but misses one of its own imports is reported by Python itself.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise SettingsError(
            f"There is no module '{error.name}' on the Python path; run from the folder it is in, or install it."
        ) from error
    function: Callable[[], Any] | None = getattr(module, function_name, None)
    made = function() if callable(function) else None
    if not callable(made):
        raise SettingsError(
            f"'{name}' is not a function that returns what computes; found a {type(function).__name__}"
            f"{'' if function is None else f' that returned a {type(made).__name__}'}."
            f"{did_you_mean(function_name, vars(module))}"
        )
    return made.eval() if isinstance(made, nn.Module) else made


def _on_device(made: Compute, device: torch.device) -> Compute:
    return made.to(device) if isinstance(made, nn.Module) else made


def _require_kind(found: Tensor, *, ids: int) -> None:
    if found.is_floating_point() == bool(ids):
        raise SettingsError(
            f"The network gives {found.dtype}, but ids={ids} was said: the number of ids of one that gives whole numbers, 0 "
            "for one that gives floats."
        )
