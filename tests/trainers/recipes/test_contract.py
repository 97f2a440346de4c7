"""What every recipe in the folder promises."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from pipelines.batch import Batch
from tests.batches import context_of, make_batch
from trainers.recipe import Recipe
from trainers.registry import recipe_names, resolve_recipe
from trainers.run_card import RunCard, describe
from trainers.sizes import SIZES

SMALL = ("modalities.image.size=32", "modalities.image.patch=8", "model.depth=2", "training.batch=4")
KEYS = ("a", "b", "c", "d")


@pytest.fixture(params=recipe_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recipe(name: str) -> Recipe:
    return resolve_recipe(name, size="tiny", settings=SMALL)


def batch_for(recipe: Recipe) -> Batch:
    """Return pictures of smooth noise, as pictures are smooth too."""
    generator = torch.Generator().manual_seed(0)
    inputs, plans = {}, {}
    for modality in recipe.modalities:
        coarse = torch.rand(len(KEYS), modality.channels, 8, 8, generator=generator) * 255
        smooth = torch.nn.functional.interpolate(coarse, size=(modality.size, modality.size), mode="bilinear")
        inputs[modality.name] = smooth.to(torch.uint8)
        plans[modality.name] = recipe.masking[modality.name].plan(context_of(KEYS), modality=modality)
    return make_batch(KEYS, inputs, plans=plans)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_builds(name: str, size: str) -> None:
    recipe = resolve_recipe(name, size=size)
    with torch.device("meta"):
        network = recipe.model.build(recipe.modalities, outputs=recipe.outputs())
    assert network.width == SIZES[size].width


def test_predictions_and_wanted_values_have_one_shape_for_every_term(recipe: Recipe) -> None:
    batch = batch_for(recipe)
    predictions, wanted = recipe.network(seed=0)(batch.inputs, batch.plans), recipe.wanted({})(batch)
    assert set(predictions) == set(wanted) == {term.name for term in recipe.objective}
    for target in recipe.targets:
        shape = (len(KEYS), batch.plans[target.modality].target.shape[1], recipe.outputs()[target.name].dim)
        assert predictions[target.name].shape == wanted[target.name].shape == shape


def test_every_parameter_learns(recipe: Recipe) -> None:
    batch, network = batch_for(recipe), recipe.network(seed=0)
    total, _ = recipe.loss(network(batch.inputs, batch.plans), recipe.wanted({})(batch))
    total.backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_a_few_steps_lower_the_loss_of_their_batch(recipe: Recipe) -> None:
    batch, network = batch_for(recipe), recipe.network(seed=0)
    wanted = recipe.wanted({})(batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        total, _ = recipe.loss(network(batch.inputs, batch.plans), wanted)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert torch.tensor(losses).isfinite().all()
    assert losses[-1] < losses[0]


def test_small_pictures_need_three_settings(name: str) -> None:
    settings = ["modalities.image.size=32", "modalities.image.patch=4", "model.depth=6"]
    recipe = resolve_recipe(name, size="tiny", settings=settings)
    batch = batch_for(recipe)
    total, _ = recipe.loss(recipe.network(seed=0)(batch.inputs, batch.plans), recipe.wanted({})(batch))
    assert total.isfinite()
    assert recipe.fresh_views().size == 32


def test_encoding_gives_one_vector_for_each_picture(recipe: Recipe) -> None:
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
    card = RunCard.of(name, size="tiny", settings=SMALL, seed=0)
    rebuilt = RunCard.from_json(card.to_json()).rebuild()
    assert rebuilt == recipe
    assert describe(rebuilt) == card.resolved
