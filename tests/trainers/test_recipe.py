import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines.batch import Batch
from shards.errors import SettingsError
from tests.batches import context_of, make_batch
from trainers.objectives import absolute_error
from trainers.recipe import Recipe, Training
from trainers.registry import resolve_recipe
from trainers.terms import Goals, Term

SMALL = ("modalities.image.size=32", "modalities.image.patch=8", "model.depth=1", "model.decoder.depth=1")


def small_recipe(*settings: str) -> Recipe:
    return resolve_recipe("mae", size="tiny", settings=[*SMALL, *settings])


def batch_for(recipe: Recipe) -> Batch:
    keys = ("a", "b")
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    plans = {
        name: masking.plan(context_of(keys), modality=recipe.modality(name)) for name, masking in recipe.masking.items()
    }
    return make_batch(keys, {"image": images}, plans=plans)


def test_initial_weights_follow_from_the_seed_alone() -> None:
    recipe = small_recipe()
    torch.manual_seed(1)
    first = recipe.network(seed=5).state_dict()
    torch.manual_seed(2)
    second, other = recipe.network(seed=5).state_dict(), recipe.network(seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["encoder.embed.weight"], other["encoder.embed.weight"])


def test_building_a_network_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    small_recipe().network(seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_wanted_values_are_those_at_the_target_tokens_in_float32_even_under_autocast() -> None:
    recipe = small_recipe()
    batch = batch_for(recipe)
    goals_of = recipe.goals({})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = goals_of(batch).wanted
    everything = recipe.targets[0].build(recipe.modality("image"))(batch)
    for row, places in enumerate(batch.plans["image"].target.tolist()):
        assert torch.equal(wanted["patches"][row], everything[row, places])
    assert wanted["patches"].dtype is torch.float32


def test_loss_is_the_weighted_sum_of_terms_reported_unweighted() -> None:
    recipe = small_recipe("objective.patches.weight=3")
    goals = Goals(wanted={"patches": torch.full((2, 3, 4), 2.0)})
    total, terms = recipe.loss({"patches": torch.zeros(2, 3, 4)}, goals)
    assert {name: value.item() for name, value in terms.items()} == {"patches": 4.0}
    assert total.item() == 12.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masking": {}}, "the modality 'image' has no masking 'image'; there is none"),
        ({"objective": ()}, "the target 'patches' has no term 'patches'"),
        ({"targets": ()}, "the term 'patches' has no target 'patches'"),
        ({"modalities": ()}, "the masking 'image' has no modality 'image'"),
    ],
)
def test_slots_that_refer_to_what_is_not_there_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(small_recipe(), **changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [("batch", 0), ("epochs", 0), ("warmup_epochs", -1), ("base_lr", 0.0), ("weight_decay", -0.1), ("clip_norm", 0.0)],
)
def test_training_that_cannot_be_is_refused(field: str, value: float) -> None:
    training: Training = small_recipe().training
    with pytest.raises(SettingsError, match=f"training.{field} "):
        dataclasses.replace(training, **{field: value})


def test_two_terms_of_one_name_are_refused() -> None:
    recipe = small_recipe()
    twice = (*recipe.objective, Term(target="patches", loss=absolute_error))
    with pytest.raises(SettingsError, match=r"terms of the objective are called patches, patches"):
        replace(recipe, objective=twice)
