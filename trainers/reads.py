"""Which stored targets a recipe reads, and the command that makes each of them.

A recipe names a stored target by its teacher (`clip`), by its teacher and settings of it (`clip:output=patches,layer=8`), or
by its whole id (`clip-0123456789ab`).
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from pipelines.masking.plan import stored_of_masking
from pipelines.modalities import Clip, Features, Stored, Tokens
from shards.errors import SettingsError
from trainers.recipe import Recipe

DEFAULT_VIEWS = 4
"""Named views of a sample in printed commands, as `maskloom targets` has it."""

FEATURE_PATCH = 16
"""Side of the patches that features are made of in printed commands, where nothing else is said, in pixels."""

ID_FORM = re.compile(r"(.+)-[0-9a-f]{12}")
REFERENCE_FORM = "clip, clip:output=patches,layer=8, or a whole id"


@runtime_checkable
class FromTeacher(Protocol):
    """A target that knows settings of a teacher whose output fits it."""

    def made_with(self, modality: Any) -> tuple[str, ...]:  # noqa: ANN401 - each target says of which modalities it can be
        """Return the settings, as `maskloom targets --set` takes them."""
        ...


@runtime_checkable
class TypedViews(Protocol):
    """Views that `maskloom targets` can be told."""

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command, as words."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A stored target as it is named: by `teacher` and the `settings` it must have, unless it is a whole id."""

    name: str
    teacher: str
    settings: Mapping[str, str]

    @classmethod
    def parse(cls, name: str) -> "Reference":
        """Read a name; raises SettingsError if it is none."""
        if match := ID_FORM.fullmatch(name):
            return cls(name=name, teacher=match[1], settings={})
        teacher, colon, rest = name.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",")] if colon else []
        if not teacher or not all(key and equals for key, equals, _ in pairs):
            raise SettingsError(f"A stored target was named '{name}'; write {REFERENCE_FORM}.")
        return cls(name=name, teacher=teacher, settings={key: value for key, _, value in pairs})

    @property
    def is_id(self) -> bool:
        """Whether this is the whole id of a target."""
        return ID_FORM.fullmatch(self.name) is not None

    def fits(self, teacher_settings: Mapping[str, Any]) -> bool:
        """Tell whether a target of this teacher was made with the settings that are asked for, however they are written."""
        return all(
            key in teacher_settings and _is_written(teacher_settings[key], text) for key, text in self.settings.items()
        )


def _is_written(value: object, text: str) -> bool:
    """Tell whether `--set` would read this text as this value."""
    if value is None or isinstance(value, bool):
        return text.lower() == str(value).lower()
    if not isinstance(value, int | float):
        return text == str(value)
    try:
        return float(text) == value
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class StoredRead:
    """One stored target that a recipe reads.

    Args:
        reference: How the recipe names it.
        setting: The setting that names it, for --set.
        modality: Whose tokens, or whose samples, it is about.
        suggested: Settings of a teacher that fits.
    """

    reference: Reference
    setting: str
    modality: Any
    suggested: tuple[str, ...]


def stored_reads(recipe: Recipe) -> tuple[StoredRead, ...]:
    """Return what a recipe reads, each stored target once: for targets, for maskings, and as modalities.

    Raises:
        SettingsError: One of them is named in a way that makes no sense.
    """
    reads: dict[str, StoredRead] = {}
    for target in recipe.targets:
        if target.stored is not None:
            modality = recipe.modality(target.modality)
            made = target.made_with(modality) if isinstance(target, FromTeacher) else ()
            _note(reads, target.stored, f"targets.{target.name}.table", modality, made)
    for name, masking in recipe.masking.items() if isinstance(recipe.masking, Mapping) else ():
        for stored in stored_of_masking(masking):
            made = _of_same_teacher(reads.values(), stored)
            _note(reads, stored, f"masking.{name}.{_field_of(masking, stored)}", recipe.modality(name), made)
    for modality in recipe.modalities:
        if isinstance(modality, Stored):
            _note(reads, modality.stored, f"modalities.{modality.name}.stored", modality, _suggested(modality))
    return tuple(reads.values())


def _suggested(modality: Stored) -> tuple[str, ...]:
    """Return settings of a teacher that gives what a modality shows."""
    if isinstance(modality, Tokens):
        return ("tokenizer=RUN",)
    return (f"patch={FEATURE_PATCH}",) if _side_of(modality) else ()


def _note(
    reads: dict[str, StoredRead],
    name: str,
    setting: str,
    modality: Any,  # noqa: ANN401 - any modality
    suggested: tuple[str, ...],
) -> None:
    """Add a stored target, unless something else reads it already."""
    read = StoredRead(reference=Reference.parse(name), setting=setting, modality=modality, suggested=suggested)
    reads.setdefault(name, read)


def _field_of(masking: Any, stored: str) -> str:  # noqa: ANN401 - any masking
    """Return the path inside a masking to the setting that names a stored target; empty if there is none."""
    for field in fields(masking):
        value = getattr(masking, field.name)
        if value == stored:
            return field.name
        if is_dataclass(value) and (inside := _field_of(value, stored)):
            return f"{field.name}.{inside}"
    return ""


def _of_same_teacher(reads: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401 - a view of values
    teacher = Reference.parse(name).teacher
    return next((read.suggested for read in reads if read.reference.teacher == teacher), ())


def targets_command(recipe: Recipe, read: StoredRead, root: object) -> str:
    """Return the `maskloom targets` command that makes a stored target for a recipe, on the recipe's own views."""
    settings = dict(setting.split("=", 1) for setting in read.suggested) | dict(read.reference.settings)
    words = ["maskloom", "targets", str(root), "--teacher", read.reference.teacher]
    words += _shown(recipe, read.modality, patch=settings.get("patch", str(FEATURE_PATCH)))
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def _shown(recipe: Recipe, modality: Any, *, patch: str) -> Sequence[str]:  # noqa: ANN401 - any modality
    """Return the options that say what a teacher with such patches is shown."""
    words: list[str] = []
    if getattr(modality, "field", "image") != "image":
        words += ["--field", modality.field]
    if isinstance(modality, Clip):
        words += ["--frames", str(modality.frames), "--tubelet", str(modality.tubelet)]
    size = recipe.picture_size or (_side_of(modality) * int(patch) if patch.isdecimal() else 0)
    if size:
        words += ["--size", str(size), "--views", str(DEFAULT_VIEWS)]
        words += recipe.views.options if isinstance(recipe.views, TypedViews) else ()
    return words


def _side_of(modality: Any) -> int:  # noqa: ANN401 - any modality
    """Return how many patches a side has whose features are read; 0 if they are not those of a square of patches."""
    is_square = isinstance(modality, Features) and len(modality.grid) == 2 and modality.grid[0] == modality.grid[1]
    return int(modality.grid[0]) if is_square and modality.grid[0] > 1 else 0
