"""What is done with inputs in training alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.batch import Batch
from shards.errors import SettingsError
from tests.trainers.recipes.samples import batch_for, small_settings
from trainers.augmentation import ScaleAndTranslate
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe


@pytest.fixture
def recipe() -> Recipe:
    return resolve_recipe("point_mae", size="tiny", settings=small_settings("point_mae"))


def at_epoch(batch: Batch, epoch: int) -> Batch:
    return replace(batch, visits=replace(batch.visits, epochs=np.full(len(batch), epoch)))


def test_a_sample_is_changed_alike_in_any_batch_and_otherwise_in_another_epoch(recipe: Recipe) -> None:
    batch = batch_for(recipe)
    together = recipe.augmented(batch, seed=1).inputs["points"]
    alone = recipe.augmented(batch.rows(slice(2, 3)), seed=1).inputs["points"]
    assert torch.equal(together[2:3], alone)
    assert not torch.equal(together, batch.inputs["points"])
    for other in (recipe.augmented(at_epoch(batch, 1), seed=1), recipe.augmented(batch, seed=2)):
        assert not torch.equal(together, other.inputs["points"])


def test_what_is_wanted_is_that_of_the_changed_cloud(recipe: Recipe) -> None:
    batch = batch_for(recipe)
    doubled = replace(recipe, augmentation={"points": ScaleAndTranslate(scale=(2.0, 2.0), shift=0.0)})
    plain, changed = (recipe.goals({})(shown).wanted["points"] for shown in (batch, doubled.augmented(batch, seed=0)))
    torch.testing.assert_close(changed, 2 * plain)


def test_a_recipe_without_augmentation_learns_from_what_is_rendered() -> None:
    recipe = resolve_recipe("mae", size="tiny", settings=small_settings("mae"))
    batch = batch_for(recipe)
    assert recipe.augmented(batch, seed=0) is batch


def test_only_modalities_of_the_recipe_are_augmented(recipe: Recipe) -> None:
    with pytest.raises(SettingsError, match="the augmentation 'cloud' has no modality 'cloud'"):
        replace(recipe, augmentation={"cloud": ScaleAndTranslate(scale=(1.0, 2.0), shift=0.0)})


@pytest.mark.parametrize(("scale", "shift"), [((0.0, 1.0), 0.1), ((2.0, 1.0), 0.1), ((1.0, 1.0), -0.1)])
def test_senseless_ranges_are_refused(scale: tuple[float, float], shift: float) -> None:
    with pytest.raises(SettingsError, match="smallest <= largest"):
        ScaleAndTranslate(scale=scale, shift=shift)
