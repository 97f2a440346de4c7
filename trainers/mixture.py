"""The datasets of a run: opened, named, weighted, with the stored targets that the recipe reads of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.component import Component
from pipelines.mixing import Weight
from shards.dataset import Dataset
from shards.errors import SettingsError, did_you_mean
from trainers.recipe import Recipe
from trainers.run_card import DatasetRecord
from trainers.stored import Recorded, open_stored

WEIGHT_FORM = "--weight NAME=2, or --weight NAME=2@0,0.5@10000 for a weight that falls from step 0 to step 10000"


def open_mixture(
    paths: Sequence[str], weights: Sequence[str], recipe: Recipe, recorded: Recorded
) -> tuple[Component, ...]:
    """Open the datasets of a run.

    Args:
        paths: Folders or addresses of the datasets; the last part of each is its name in the mixture.
        weights: As typed: `photos=2`, `clips=1@0,3@5000`; a dataset that is not named has the weight 1.
        recipe: What is going to be trained.
        recorded: The stored targets that the run began with; see `open_stored`.

    Raises:
        MissingDatasetError: There is no dataset.
        MissingTargetError: A dataset lacks a stored target.
        SettingsError: A weight makes no sense, or is that of no dataset.
    """
    names = _names(paths)
    chosen = _weights(weights, names)
    datasets = [Dataset.open(path) for path in paths]
    return tuple(
        Component(
            dataset=dataset,
            name=name if len(names) > 1 else "",
            weight=chosen.get(name, Weight.constant(1.0)),
            stored=open_stored(recipe, dataset, recorded),
        )
        for name, dataset in zip(names, datasets, strict=True)
    )


def record_datasets(paths: Sequence[str], components: Sequence[Component]) -> tuple[DatasetRecord, ...]:
    """Return what a run card says about opened datasets."""
    return tuple(
        DatasetRecord(
            name=component.name,
            path=path if "://" in path else str(Path(path).resolve()),
            dataset_id=component.dataset.dataset_id,
            weight=component.weight.describe(),
        )
        for path, component in zip(paths, components, strict=True)
    )


def _names(paths: Sequence[str]) -> list[str]:
    """Name every dataset by the last part of its path, and number those that are called alike."""
    names: list[str] = []
    for path in paths:
        name = path.rstrip("/").rpartition("/")[2]
        alike = sum(known == name or known.startswith(f"{name}#") for known in names)
        names.append(f"{name}#{alike + 1}" if alike else name)
    return names


def _weights(typed: Sequence[str], names: Sequence[str]) -> Mapping[str, Weight]:
    weights = {}
    for text in typed:
        name, equals, value = text.rpartition("=")
        if not equals:
            raise SettingsError(f"A weight was given as '{text}'; write {WEIGHT_FORM}.")
        if name not in names:
            raise SettingsError(
                f"There is a weight for '{name}', but the datasets are called {', '.join(names)}.{did_you_mean(name, names)}"
            )
        weights[name] = _weight(value)
    return weights


def _weight(text: str) -> Weight:
    """Read `2` or `2@0,0.5@10000`."""
    knots = []
    try:
        for knot in text.split(","):
            value, _, step = knot.partition("@")
            knots.append((int(step or "0"), float(value)))
    except ValueError:
        raise SettingsError(f"'{text}' is no weight; write {WEIGHT_FORM}.") from None
    return Weight(knots=tuple(knots))
