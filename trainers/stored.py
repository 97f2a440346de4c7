"""The stored targets of a run: which one a name means is decided when the run begins, and stands in its card."""

from collections.abc import Mapping
from typing import Any

from shards.dataset import Dataset
from shards.errors import MissingTargetError
from shards.target_table import TargetTable
from trainers.recipe import Recipe, Target

Recorded = Mapping[str, Mapping[str, Any]]
"""For each stored target, by its name in the recipe: the `target_id` that is read and the `views` it was computed on."""


def open_stored(recipe: Recipe, dataset: Dataset, recorded: Recorded) -> dict[str, TargetTable]:
    """Open the stored targets that a recipe reads, by their names in the recipe.

    A name that is `recorded` means the target recorded, whatever was stored beside it since. Any other name, and one
    whose target is no longer there, means the only target of that name.

    Raises:
        MissingTargetError: There is none, or there are several; the message says what to do.
    """
    held = dataset.target_ids()
    known = {name: str(entry["target_id"]) for name, entry in recorded.items() if entry["target_id"] in held}
    return {
        target.stored: _open(recipe, target, dataset, known.get(target.stored, target.stored))
        for target in recipe.targets
        if target.stored is not None
    }


def _open(recipe: Recipe, target: Target, dataset: Dataset, name: str) -> TargetTable:
    try:
        return dataset.target(name)
    except MissingTargetError as error:
        raise MissingTargetError(
            f"recipe '{recipe.name}' reads a stored target for '{target.name}'. {error}"
        ) from error


def record_stored(tables: Mapping[str, TargetTable]) -> dict[str, dict[str, Any]]:
    """Return what a run card says about opened targets."""
    return {
        name: {"target_id": table.spec.target_id, "views": dict(table.spec.views)} for name, table in tables.items()
    }
