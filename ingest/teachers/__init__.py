"""Teachers: each file here computes one kind of target from views. The folder is the registry.

A teacher file defines a frozen dataclass `Teacher` whose fields, all with defaults but `size`, are its settings.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Protocol

from torch import Tensor

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


def build_teacher(name: str, settings: Mapping[str, Any]) -> Teacher:
    """Build the teacher `name` from its settings; values may be strings, which are read by the type of the field.

    Raises:
        SettingsError: There is no such teacher or setting, or a value does not fit.
    """
    if name not in teacher_names():
        raise SettingsError(
            f"There is no teacher '{name}'; there are {', '.join(teacher_names())}.{did_you_mean(name, teacher_names())}"
        )
    kind = importlib.import_module(f"{__name__}.{name}").Teacher
    types = {field.name: field.type for field in fields(kind)}
    for setting in settings:
        if setting not in types:
            raise SettingsError(
                f"Teacher '{name}' has no setting '{setting}'; it has {', '.join(types)}.{did_you_mean(setting, types)}"
            )
    teacher: Teacher = kind(
        **{setting: _typed(name, setting, types[setting], value) for setting, value in settings.items()}
    )
    return teacher


def teacher_settings(teacher: Teacher) -> dict[str, Any]:
    """Return the settings that `build_teacher` makes the same teacher from."""
    return asdict(teacher)


def _typed(teacher: str, setting: str, kind: Any, value: Any) -> Any:  # noqa: ANN401 - any dataclass field
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise SettingsError(f"--set {setting}={value}: teacher '{teacher}' wants {kind.__name__} here.") from None
