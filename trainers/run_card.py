"""RunCard: what a run was, complete enough to make it again, as JSON that a person can read."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shards.errors import MaskloomError, SettingsError
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe

RUN_CARD = "run.json"
CARD_VERSION = 1
RECORDED_PACKAGES = ("maskloom", "torch", "torchvision", "numpy")


class RunCardError(MaskloomError):
    """A run card cannot be read, or the code no longer makes what it records."""


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """The identity of a run. `recipe`, `size` and `settings` rebuild the recipe; `resolved` is what it was, in full.

    `dataset` is where the dataset was, `dataset_id` what it held. `versions` are those of the software at the start.
    """

    recipe: str
    size: str
    settings: tuple[str, ...]
    seed: int
    dataset: str
    dataset_id: str
    versions: Mapping[str, str]
    resolved: Mapping[str, Any]
    card_version: int = CARD_VERSION

    @classmethod
    def of(
        cls, recipe: str, *, size: str, settings: Sequence[str], seed: int, dataset: str | Path, dataset_id: str
    ) -> "RunCard":
        """Return the card of a run that starts now; raises SettingsError if the recipe cannot be resolved."""
        return cls(
            recipe=recipe,
            size=size,
            settings=tuple(settings),
            seed=seed,
            dataset=str(dataset),
            dataset_id=dataset_id,
            versions=software_versions(),
            resolved=describe(resolve_recipe(recipe, size=size, settings=settings)),
        )

    def rebuild(self) -> Recipe:
        """Return the recipe of this run; raises RunCardError if the code now makes another one."""
        recipe = resolve_recipe(self.recipe, size=self.size, settings=self.settings)
        differences = _differences(self.resolved, describe(recipe), path="")
        if differences:
            raise RunCardError(
                f"recipe '{self.recipe}' is not what this run recorded: {'; '.join(differences)}. Use the version of "
                f"the code it was made with (maskloom {self.versions.get('maskloom')}), or start a new run."
            )
        return recipe

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
            return cls(**{**fields, "settings": tuple(fields["settings"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RunCardError(f"this is not a run card: {error!r}") from error

    def save(self, run: Path) -> None:
        """Write the card as `run.json` into the folder of the run."""
        (run / RUN_CARD).write_text(self.to_json(), encoding="utf-8")

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
