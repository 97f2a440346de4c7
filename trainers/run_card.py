"""RunCard: what a run was, complete enough to make it again, as JSON that a person can read."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.device.choice import Precision
from shards.errors import MaskloomError, SettingsError
from shards.storage import replace_file
from trainers.recipe import Recipe
from trainers.registry import is_outside, resolve_recipe, resolve_typed_recipe

RUN_CARD = "run.json"
CARD_VERSION = 3
REPLAYED_VIEWS = "those of the stored targets"
RECORDED_PACKAGES = ("maskloom", "torch", "torchvision", "numpy")


class RunCardError(MaskloomError):
    """A run card cannot be read, or the code no longer makes what it records."""


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """A dataset of a run: its `name` in the mixture, where it was, what it held, and its `weight` as `step:weight`."""

    name: str
    path: str
    dataset_id: str
    weight: str


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """The identity of a run. `recipe`, `size` and `settings` rebuild the recipe; `resolved` is what it was, in full.

    `datasets` are those that were mixed; none if the weights were imported. `stored` tells, for each stored target by its
    name in the recipe, the `target_id` that is read and the `views` that are replayed. `precision` is that of matrix products,
    None if nothing was trained. `versions` are those of the software at the start.
    """

    recipe: str
    size: str
    settings: tuple[str, ...]
    seed: int
    datasets: tuple[DatasetRecord, ...]
    stored: Mapping[str, Mapping[str, Any]]
    precision: Precision | None
    versions: Mapping[str, str]
    resolved: Mapping[str, Any]
    card_version: int = CARD_VERSION

    @classmethod
    def of(
        cls,
        recipe: str,
        *,
        size: str,
        settings: Sequence[str],
        seed: int,
        datasets: Sequence[DatasetRecord] = (),
        stored: Mapping[str, Mapping[str, Any]] | None = None,
        precision: Precision | None = None,
    ) -> "RunCard":
        """Return the card of a run that starts now, by a recipe that the user typed on this command line.

        Raises:
            SettingsError: The recipe cannot be resolved.
        """
        return cls(
            recipe=recipe,
            size=size,
            settings=tuple(settings),
            seed=seed,
            datasets=tuple(datasets),
            stored=stored or {},
            precision=precision,
            versions=software_versions(),
            resolved=describe_recipe(resolve_typed_recipe(recipe, size=size, settings=settings)),
        )

    def rebuild(self, *, typed: str | None = None) -> Recipe:
        """Return the recipe of this run.

        `typed` is the recipe that the user named on this command line, if any. Without it, code outside maskloom is not
        executed: a card may come from anybody.

        Raises:
            RunCardError: The recipe is code outside maskloom that the user did not name, the user named another one, or
                the code now makes another recipe than is recorded.
        """
        self._require_allowed(typed)
        resolve = resolve_recipe if typed is None else resolve_typed_recipe
        recipe = resolve(self.recipe, size=self.size, settings=self.settings)
        differences = _differences(self.resolved, describe_recipe(recipe), path="")
        if differences:
            raise RunCardError(
                f"recipe '{self.recipe}' is not what this run recorded: {'; '.join(differences)}. Use the version of "
                f"the code it was made with (maskloom {self.versions.get('maskloom')}), or start a new run."
            )
        return recipe

    def _require_allowed(self, typed: str | None) -> None:
        if typed is not None and typed != self.recipe:
            raise RunCardError(f"recipe '{typed}' was asked for, but this run was made by '{self.recipe}'.")
        if typed is None and is_outside(self.recipe):
            raise RunCardError(
                f"this run was made by '{self.recipe}', which is code outside maskloom. To use the run, that code has to "
                f"be executed; if you trust it, say so with --recipe {self.recipe}."
            )

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunCard":
        """Return the card written by `to_json`; raises RunCardError if it is none of this version."""
        try:
            fields = json.loads(text)
            if fields["card_version"] != CARD_VERSION:
                raise RunCardError(f"run card has version {fields['card_version']}, this maskloom reads {CARD_VERSION}")
            datasets = tuple(DatasetRecord(**record) for record in fields["datasets"])
            return cls(**{**fields, "settings": tuple(fields["settings"]), "datasets": datasets})
        except (ValueError, KeyError, TypeError) as error:
            raise RunCardError(f"this is not a run card: {error!r}") from error

    def save(self, run: Path) -> None:
        """Write the card as `run.json` into the folder of the run; raises StorageError if it cannot be written."""
        replace_file(run, run / RUN_CARD, self.to_json().encode())

    @classmethod
    def load(cls, run: Path) -> "RunCard":
        """Return the card of the run in a folder; raises RunCardError if there is none."""
        path = run / RUN_CARD
        if not path.is_file():
            raise RunCardError(f"{run} is not the folder of a run: it has no {RUN_CARD}")
        return cls.from_json(path.read_text(encoding="utf-8"))


def software_versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in RECORDED_PACKAGES}}


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return JSON for what a recipe does: as `describe`, but its own views only where they are looked at.

    With stored targets, the views that those were computed on are replayed instead; they stand in `RunCard.stored`.
    """
    described: dict[str, Any] = describe(recipe)
    return described | {"views": REPLAYED_VIEWS} if recipe.stored_targets() else described


def describe(value: Any) -> Any:  # noqa: ANN401 - a recipe holds values of many types
    """Return JSON for a recipe or a part of it: dataclasses with their type, functions by name, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": _qualified_name(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(name): describe(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [describe(part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if callable(value) and "<" not in getattr(value, "__qualname__", "<"):
        return _qualified_name(value)
    raise SettingsError(
        f"a recipe is made of dataclasses, numbers, words, tuples, mappings and named functions; found {value!r}"
    )


def _qualified_name(value: Any) -> str:  # noqa: ANN401 - a class or a function
    return f"{value.__module__}:{value.__qualname__}"


def _differences(recorded: Any, present: Any, *, path: str) -> list[str]:  # noqa: ANN401 - JSON
    """Return where two JSON trees differ, as `path was x, is y`."""
    if isinstance(recorded, Mapping) and isinstance(present, Mapping):
        names = dict.fromkeys((*recorded, *present))
        pairs = [(name, recorded.get(name), present.get(name)) for name in names]
    elif isinstance(recorded, list) and isinstance(present, list) and len(recorded) == len(present):
        pairs = [(str(place), *pair) for place, pair in enumerate(zip(recorded, present, strict=True))]
    else:
        return [] if recorded == present else [f"{path} was {recorded!r}, is {present!r}"]
    return [
        difference
        for name, was, now in pairs
        for difference in _differences(was, now, path=f"{path}.{name}" if path else name)
    ]
