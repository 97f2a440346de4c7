"""Teachers: each file here computes one kind of target from views. The folder is the registry.

A teacher file defines a frozen dataclass `Teacher` whose fields, all with defaults but `size`, are its settings. A teacher that
is not shown pictures has no `size`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from pipelines.modalities import Decoded
from pipelines.settings import apply_settings
from shards.errors import SettingsError, did_you_mean

Compute = Callable[[Tensor], Tensor]
"""From a batch of what a modality renders to, to one array a sample: float32 or int64 [batch, *shape]."""


class Teacher(Protocol):
    """Describes a network, or a formula, that maps views to one array each; a frozen dataclass of its settings.

    Nothing heavy happens before `load`, or before a property is asked for that the weights decide.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def modality(self) -> Decoded | str:
        """What the teacher is shown, rendered as a stream would; or the name of the stored target that it reads."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's target; the last axis are the values of a token, except where they are ids."""
        ...

    @property
    def vocabulary(self) -> int | None:
        """How many ids there are; None for a teacher that gives numbers."""
        ...

    @property
    def preprocessing(self) -> str:
        """How what is rendered becomes the teacher's input, in words."""
        ...

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights, or None for a teacher without any; it is recorded, and compared by every worker."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages, besides maskloom and torch, whose versions the values depend on."""
        ...

    def load(self, device: torch.device) -> Compute:
        """Return the function from what the modality renders to, on `device`, to targets there; never trained further.

        A row must not depend on the others of its batch. Matrix products run under the caller's autocast.

        Raises:
            SettingsError: The weights are not there, or are not those of the model.
        """
        ...


def teacher_names() -> list[str]:
    """Return the names of all teachers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def teacher_summary(name: str) -> str:
    """Return the first line of the documentation of a teacher."""
    return (inspect.getdoc(inspect.getmodule(teacher_class(name))) or "").partition("\n")[0]


def new_teacher(name: str, *, size: int, settings: Sequence[str]) -> Teacher:
    """Return the teacher `name` for views of `size` pixels, if it is shown pictures, with settings `path=value` applied.

    Raises:
        SettingsError: There is no such teacher or setting, or a value does not fit.
    """
    kind = teacher_class(name)
    sized = {"size": size} if "size" in {field.name for field in fields(kind)} else {}
    teacher: Teacher = kind(**sized)
    return apply_settings(teacher, settings)


def build_teacher(name: str, settings: Mapping[str, Any]) -> Teacher:
    """Return the teacher `name` with all its settings, as `teacher_settings` gave them."""
    teacher: Teacher = teacher_class(name)(**settings)
    return teacher


def teacher_settings(teacher: Teacher) -> dict[str, Any]:
    """Return the settings that `build_teacher` makes the same teacher from."""
    return asdict(teacher)


def teacher_class(name: str) -> Any:  # noqa: ANN401 - a dataclass that is a Teacher
    """Return the class of the teacher `name`.

    Raises:
        SettingsError: There is none.
    """
    if name not in teacher_names():
        raise SettingsError(
            f"There is no teacher '{name}'; there is {', '.join(teacher_names())}.{did_you_mean(name, teacher_names())}"
        )
    return importlib.import_module(f"{__name__}.{name}").Teacher
