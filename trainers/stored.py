"""The stored targets of a run: which one a name means is decided when the run begins, and stands in its card."""

from collections.abc import Mapping, Sequence
from typing import Any

from shards.dataset import Dataset
from shards.errors import MissingTargetError
from shards.target_table import TargetSpec, TargetTable
from trainers.reads import Reference, StoredRead, stored_reads, targets_command
from trainers.recipe import Recipe

Recorded = Mapping[str, Mapping[str, Any]]
"""For each stored target, by its name in the recipe: the `target_id` that is read and the `views` it was computed on."""


def open_stored(recipe: Recipe, dataset: Dataset, recorded: Recorded) -> dict[str, TargetTable]:
    """Open the stored targets that a recipe reads, by their names in the recipe.

    A name that is `recorded` means the target recorded, whatever was stored beside it since. Any other name, and one
    whose target is no longer there, means the only target of that teacher with the settings that the name gives.

    Raises:
        MissingTargetError: Of some there is none, or there are several; the message says of each what to do.
        SettingsError: A name makes no sense.
    """
    opened: dict[str, TargetTable] = {}
    problems: list[str] = []
    for read in stored_reads(recipe):
        found = _meant(read.reference, dataset, recorded)
        if len(found) == 1:
            opened[read.reference.name] = found[0]
        else:
            problems.append(_several(read, dataset, found) if found else _none(recipe, read, dataset))
    if problems:
        raise MissingTargetError(f"recipe '{recipe.name}' reads stored targets. " + "\n".join(problems))
    return opened


def _meant(reference: Reference, dataset: Dataset, recorded: Recorded) -> list[TargetTable]:
    """Return the targets that a name may mean; a whole id is opened even where targets cannot be listed."""
    if reference.is_id:
        return [dataset.target(reference.name)]
    ids = [name for name in dataset.target_ids() if Reference.parse(name).teacher == reference.teacher]
    known = recorded.get(reference.name, {}).get("target_id")
    if known in ids:
        return [dataset.target(known)]
    tables = [dataset.target(target_id) for target_id in ids]
    return [table for table in tables if reference.fits(table.spec.teacher_settings)]


def _none(recipe: Recipe, read: StoredRead, dataset: Dataset) -> str:
    held = ", ".join(dataset.target_ids()) or "no stored target"
    return (
        f"'{read.reference.name}' ({read.setting}) is not there: {dataset.root} holds {held}. Make it with "
        f"`{targets_command(recipe, read, dataset.root)}`."
    )


def _several(read: StoredRead, dataset: Dataset, found: Sequence[TargetTable]) -> str:
    described = "; ".join(_described(table.spec) for table in found)
    return (
        f"{dataset.root} has several targets '{read.reference.name}': {described}. Name one of them, as in "
        f"--set {read.setting}={found[0].spec.target_id}."
    )


def _described(spec: TargetSpec) -> str:
    """Return what tells targets of one teacher apart."""
    settings = ", ".join(f"{key}={value}" for key, value in spec.teacher_settings.items())
    shape = " x ".join(map(str, spec.shape))
    views = "1 view" if spec.num_views == 1 else f"{spec.num_views} views"
    return f"{spec.target_id} ({shape} values, {views}{f', {settings}' if settings else ''})"


def record_stored(tables: Mapping[str, TargetTable]) -> dict[str, dict[str, Any]]:
    """Return what a run card says about opened targets."""
    return {
        name: {"target_id": table.spec.target_id, "views": dict(table.spec.views)} for name, table in tables.items()
    }
