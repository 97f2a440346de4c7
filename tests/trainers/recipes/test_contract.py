"""What every recipe in the folder promises."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from pipelines.batch import Batch
from pipelines.modalities import Image
from tests.trainers.recipes.samples import KEYS, batch_for, decoders_of, small_settings
from trainers.recipe import Recipe, Target
from trainers.registry import recipe_names, resolve_recipe
from trainers.run_card import RunCard, describe_recipe
from trainers.sizes import SIZES


@pytest.fixture(params=recipe_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recipe(name: str) -> Recipe:
    return resolve_recipe(name, size="tiny", settings=small_settings(name))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_builds(name: str, size: str) -> None:
    recipe = resolve_recipe(name, size=size)
    with torch.device("meta"):
        network = recipe.model.build(recipe.modalities, outputs=recipe.outputs())
    assert network.width == SIZES[size].width


def num_places(recipe: Recipe, batch: Batch, target: Target) -> tuple[int, ...]:
    plan = batch.plans[target.modality]
    return {
        "target": plan.target.shape[1:],
        "visible": plan.visible.shape[1:],
        "all": (recipe.modality(target.modality).num_tokens,),
        "sample": (),
    }[target.places]


def test_predictions_and_wanted_values_have_their_places_for_every_term(recipe: Recipe) -> None:
    batch = batch_for(recipe)
    predictions = recipe.network(seed=0)(batch.inputs, batch.plans)
    wanted = recipe.goals(decoders_of(recipe))(batch).wanted
    assert set(predictions) == {name for term in recipe.objective for name in term.reads}
    assert set(wanted) == {target.name for target in recipe.targets}
    for target in recipe.targets:
        shape = (len(KEYS), *num_places(recipe, batch, target))
        assert predictions[target.name].shape == (*shape, recipe.outputs()[target.name].dim)
        assert wanted[target.name].shape[:-1] == shape


def test_every_parameter_learns(recipe: Recipe) -> None:
    batch, network = batch_for(recipe), recipe.network(seed=0)
    total, _ = recipe.loss(network(batch.inputs, batch.plans), recipe.goals(decoders_of(recipe))(batch))
    total.backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_a_few_steps_lower_the_loss_of_their_batch(recipe: Recipe) -> None:
    batch, network = batch_for(recipe), recipe.network(seed=0)
    goals = recipe.goals(decoders_of(recipe))(batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        total, _ = recipe.loss(network(batch.inputs, batch.plans), goals)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert torch.tensor(losses).isfinite().all()
    assert losses[-1] < losses[0]


def test_pictures_of_other_sizes_need_two_settings_each_and_one_for_the_model(name: str) -> None:
    images = [modality for modality in resolve_recipe(name, size="tiny").modalities if isinstance(modality, Image)]
    if not images:
        pytest.skip("this recipe has no picture")
    sizes = [f"modalities.{image.name}.{field}" for image in images for field in ("size=32", "patch=4")]
    recipe = resolve_recipe(name, size="tiny", settings=[*sizes, "model.depth=6"])
    batch = batch_for(recipe)
    total, _ = recipe.loss(recipe.network(seed=0)(batch.inputs, batch.plans), recipe.goals(decoders_of(recipe))(batch))
    assert total.isfinite()
    assert recipe.fresh_views().size == 32


def test_encoding_gives_one_vector_for_each_sample(recipe: Recipe) -> None:
    batch, network = batch_for(recipe), recipe.network(seed=0)
    pooled = network.pool(network.encode(batch.inputs))
    assert pooled.shape == (len(KEYS), network.width)
    assert pooled.isfinite().all()


def test_the_file_is_short_and_cites_its_paper(name: str, recipe: Recipe) -> None:
    module = importlib.import_module(f"trainers.recipes.{name}")
    assert len(Path(inspect.getfile(module)).read_text().splitlines()) <= 80
    assert re.fullmatch(r"arXiv:\d{4}\.\d{5}", recipe.paper)
    documentation = inspect.getdoc(module) or ""
    for promise in (recipe.paper, "Expected:", "Deviations"):
        assert promise in documentation


def test_the_name_of_the_recipe_is_that_of_its_file(name: str, recipe: Recipe) -> None:
    assert recipe.name == name


def test_a_card_brings_the_recipe_back(name: str, recipe: Recipe) -> None:
    card = RunCard.of(name, size="tiny", settings=small_settings(name), seed=0)
    rebuilt = RunCard.from_json(card.to_json()).rebuild()
    assert rebuilt == recipe
    assert describe_recipe(rebuilt) == card.resolved
