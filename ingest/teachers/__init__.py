"""Teachers: each file here computes one kind of target from views. The folder is the registry.

A teacher file defines a frozen dataclass `Teacher` whose fields, all with defaults but `size`, are its settings.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

from torch import Tensor

from pipelines.settings import apply_settings
from shards.errors import SettingsError, did_you_mean


class Teacher(Protocol):
    """Maps a batch of views to one array a sample; a frozen dataclass whose fields are its settings."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's target."""
        ...

    @property
    def preprocessing(self) -> str:
        """How 8-bit pixels become the teacher's input, in words."""
        ...

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights, or None for a teacher without any."""
        ...

    def compute(self, images: Tensor) -> Tensor:
        """Return the targets (batch, *shape) of 8-bit images (batch, 3, size, size), in float32."""
        ...


def teacher_names() -> list[str]:
    """Return the names of all teachers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def new_teacher(name: str, *, size: int, settings: Sequence[str]) -> Teacher:
    """Return the teacher `name` for views of `size` pixels, with settings `path=value` applied.

    Raises:
        SettingsError: There is no such teacher or setting, or a value does not fit.
    """
    teacher: Teacher = _teacher_class(name)(size=size)
    return apply_settings(teacher, settings)


def build_teacher(name: str, settings: Mapping[str, Any]) -> Teacher:
    """Return the teacher `name` with all its settings, as `teacher_settings` gave them."""
    teacher: Teacher = _teacher_class(name)(**settings)
    return teacher


def teacher_settings(teacher: Teacher) -> dict[str, Any]:
    """Return the settings that `build_teacher` makes the same teacher from."""
    return asdict(teacher)


def _teacher_class(name: str) -> Callable[..., Teacher]:
    if name not in teacher_names():
        raise SettingsError(
            f"There is no teacher '{name}'; there is {', '.join(teacher_names())}.{did_you_mean(name, teacher_names())}"
        )
    found: Callable[..., Teacher] = importlib.import_module(f"{__name__}.{name}").Teacher
    return found
