"""Samples that lack a modality: they are learned from with what they have, and nothing is learned of what they lack."""

from dataclasses import replace

import pytest
import torch

from pipelines.batch import Batch
from tests.trainers.recipes.samples import batch_for, decoders_of, masked, small_settings
from trainers.checking import takes_absent
from trainers.recipe import Recipe
from trainers.registry import recipe_names, resolve_recipe


def recipes_of_several() -> list[str]:
    found = [(name, resolve_recipe(name, size="tiny")) for name in recipe_names()]
    return [name for name, recipe in found if takes_absent(recipe.model) and len(recipe.modalities) > 1]


@pytest.fixture(params=recipes_of_several())
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return resolve_recipe(request.param, size="tiny", settings=small_settings(request.param))


def without(batch: Batch, recipe: Recipe, name: str, rows: list[int]) -> Batch:
    """The batch in which some samples lack a modality."""
    (num_tokens,) = (modality.num_tokens for modality in recipe.modalities if modality.name == name)
    length = batch.lengths.get(name, torch.full((len(batch),), num_tokens)).clone()
    length[rows] = 0
    return masked(recipe, replace(batch, lengths={**batch.lengths, name: length}))


def losses(recipe: Recipe, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    network = recipe.network(seed=0)
    return recipe.loss(network(batch.inputs, batch.plans), recipe.goals(decoders_of(recipe))(batch))


def test_there_are_recipes_of_several_modalities() -> None:
    assert {"m3ae", "multi_mae", "cav_mae"} <= set(recipes_of_several())


def test_what_an_absent_modality_would_show_changes_nothing(recipe: Recipe) -> None:
    for modality in recipe.modalities:
        lacking = without(batch_for(recipe), recipe, modality.name, [1, 2])
        inputs = dict(lacking.inputs)
        inputs[modality.name] = inputs[modality.name].clone()
        inputs[modality.name][[1, 2]] = inputs[modality.name][[0, 3]]
        first, second = losses(recipe, lacking), losses(recipe, replace(lacking, inputs=inputs))
        assert first[0].isfinite()
        torch.testing.assert_close(first, second)


def test_nothing_is_learned_of_a_modality_that_no_sample_has(recipe: Recipe) -> None:
    for modality in recipe.modalities:
        lacking = without(batch_for(recipe), recipe, modality.name, [0, 1, 2, 3])
        network = recipe.network(seed=0)
        goals = recipe.goals(decoders_of(recipe))(lacking)
        total, terms = recipe.loss(network(lacking.inputs, lacking.plans), goals)
        total.backward()
        # Several processes average gradients, so each of them needs one of every parameter, be it zero.
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
        of_it = [target.name for target in recipe.targets if target.modality == modality.name]
        assert {name for name in of_it if terms[name].item()} == set()


def test_samples_that_lack_something_are_encoded_by_what_they_have(recipe: Recipe) -> None:
    network = recipe.network(seed=0).eval()
    whole = batch_for(recipe)
    for modality in recipe.modalities:
        lacking = without(whole, recipe, modality.name, [1])
        changed = {**lacking.inputs, modality.name: lacking.inputs[modality.name].clone()}
        changed[modality.name][1] = changed[modality.name][0]
        vectors = [network.represent(inputs, lacking.lengths) for inputs in (lacking.inputs, changed)]
        torch.testing.assert_close(*vectors)
        assert not torch.allclose(vectors[0][1], network.represent(whole.inputs, whole.lengths)[1], atol=1e-4)
