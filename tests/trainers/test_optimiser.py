"""Which parameters are decayed."""

import pytest
import torch

from tests.trainers.recipes.samples import small_settings
from trainers.optimiser import build_optimiser, is_decayed
from trainers.registry import recipe_names, resolve_recipe


@pytest.mark.parametrize("name", recipe_names())
def test_only_the_weights_of_products_are_decayed(name: str) -> None:
    recipe = resolve_recipe(name, size="tiny", settings=small_settings(name))
    network = recipe.network(seed=0)
    optimiser = build_optimiser(network, recipe.training)
    names = {parameter: name for name, parameter in network.named_parameters()}
    by_decay = {
        group["weight_decay"]: {names[parameter] for parameter in group["params"]} for group in optimiser.param_groups
    }
    assert set(by_decay) == {recipe.training.weight_decay, 0.0}
    linear = {f"{path}.weight" for path, module in network.named_modules() if isinstance(module, torch.nn.Linear)}
    linear |= {name for name in names.values() if name.endswith("in_proj_weight")}  # queries, keys, values of torch
    assert by_decay[recipe.training.weight_decay] == linear
    assert by_decay[0.0] == set(names.values()) - linear


def test_frozen_parameters_are_left_out() -> None:
    recipe = resolve_recipe("mae", size="tiny", settings=["model.depth=1"])
    network = recipe.network(seed=0)
    frozen = next(iter(network.parameters())).requires_grad_(False)
    optimiser = build_optimiser(network, recipe.training)
    assert all(parameter is not frozen for group in optimiser.param_groups for parameter in group["params"])


def test_learned_positions_are_points_not_products() -> None:
    matrix = torch.nn.Parameter(torch.zeros(3, 4))
    assert is_decayed("encoder.embed.weight", matrix)
    assert not is_decayed("encoder.positions", matrix)
    assert not is_decayed("encoder.class_token", matrix)
    assert not is_decayed("encoder.embed.bias", torch.nn.Parameter(torch.zeros(4)))
