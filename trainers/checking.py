"""What is compared before a run begins: the slots of a recipe with each other, with its datasets and stored targets."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pipelines.component import Component
from pipelines.masking.plan import MaskContext, Masking
from pipelines.modalities import Modality, Stored
from pipelines.randomness import Draws
from pipelines.views import ViewSet
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError, did_you_mean
from shards.target_table import TargetTable
from trainers.recipe import Recipe, Target


def check(recipe: Recipe, components: Sequence[Component]) -> None:
    """Compare a recipe with the datasets it is to learn from, and build its network without memory.

    The components bring the stored targets that it reads, by their names in the recipe; see `trainers.stored.open_stored`.

    Raises:
        MissingFieldError: a modality reads a field that the dataset, or some of its samples, do not hold.
        SettingsError: slots do not fit each other, the dataset or a stored target: sizes, widths, ratios, batch.
    """
    for component in components:
        for modality in recipe.modalities:
            if not isinstance(modality, Stored):
                _check_field(recipe, modality.field, component.dataset)
        for target in recipe.targets:
            if target.stored is not None:
                _check_stored(recipe, target, component.stored[target.stored], component.dataset)
        _check_views(recipe, component.stored)
        _check_projections(recipe, component.stored, components[0].stored)
    _check_batch(recipe, [component.dataset for component in components])
    for field, masking in recipe.masking.items():
        _check_masking(masking, recipe.modality(field))
    recipe.wanted({})
    with torch.device("meta"):
        recipe.model.build(recipe.modalities, outputs=recipe.outputs())


def _check_field(recipe: Recipe, field: str, dataset: Dataset) -> None:
    held = dataset.manifest.fields
    if field not in held:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{field}', but {dataset.root} holds only "
            f"{', '.join(sorted(held)) or 'no field at all'}.{did_you_mean(field, held)} "
            "Ingest a source that has it, or choose another recipe."
        )
    missing = dataset.num_samples - dataset.num_with(field)
    if missing or not dataset.num_samples:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{field}' of every sample, but {missing} of the "
            f"{dataset.num_samples} samples of {dataset.root} do not have it. Ingest them without the incomplete ones."
        )


def _check_batch(recipe: Recipe, datasets: Sequence[Dataset]) -> None:
    """A step that takes more samples than there are would take some of them twice."""
    held = sum(dataset.num_samples for dataset in datasets)
    if recipe.training.batch > held:
        roots = " and ".join(str(dataset.root) for dataset in datasets)
        raise SettingsError(
            f"recipe '{recipe.name}' takes {recipe.training.batch} samples per step, but {roots} holds only {held}. "
            f"Give --batch {2 ** (held.bit_length() - 1)}, or any number up to {held}."
        )


def _check_stored(recipe: Recipe, target: Target, table: TargetTable, dataset: Dataset) -> None:
    modality, spec = recipe.modality(target.modality), table.spec
    wanted, size = target.stored_shape(modality), ViewSet.from_json(spec.views).size
    if spec.shape != wanted or size != recipe.picture_size:
        raise SettingsError(
            f"recipe '{recipe.name}' needs '{target.name}' as {_shape(wanted)} values on pictures of {recipe.picture_size} "
            f"pixels, but {spec.target_id} of {dataset.root} holds {_shape(spec.shape)} values on pictures of {size} "
            f"pixels. Store it for this size, train at the size it was stored for (--set modalities.{modality.name}.size "
            f"and .patch), or give targets.{target.name} the width of what is stored."
        )


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "single"


def _check_views(recipe: Recipe, stored: Mapping[str, TargetTable]) -> None:
    """Several stored targets can be replayed together only if they were computed on the same views."""
    specs = [stored[name].spec for name in recipe.stored_targets()]
    if len({json.dumps(spec.views, sort_keys=True) for spec in specs}) > 1:
        raise SettingsError(
            f"recipe '{recipe.name}' reads {', '.join(spec.target_id for spec in specs)}, which were stored for "
            "different views of the pictures. Store them for the same views, or compute all but one while training."
        )


def _check_projections(recipe: Recipe, stored: Mapping[str, TargetTable], first: Mapping[str, TargetTable]) -> None:
    """Principal components of two datasets are not those of the same directions."""
    for name, table in stored.items():
        mine, theirs = table.projection, first[name].projection
        if mine is not None and theirs is not None and not np.array_equal(mine, theirs):
            raise SettingsError(
                f"recipe '{recipe.name}' reads '{name}' of several datasets as principal components, each in directions of "
                f"its own ({first[name].spec.target_id} and {table.spec.target_id}). Store it as int8 or float16."
            )


def _check_masking(masking: Masking, modality: Modality) -> None:
    draws = Draws.of(("check",), epochs=(0,), seed=0)
    plan = masking.plan(MaskContext(draws=draws, inputs={}, stored={}, lengths={}), modality=modality)
    visible, target = plan.visible.shape[1], plan.target.shape[1]
    if not visible or not target:
        raise SettingsError(
            f"masking '{modality.name}' leaves {visible} of {modality.num_tokens} tokens visible and predicts "
            f"{target}; at least one of each is needed. Change masking.{modality.name} or the size of the patches."
        )
