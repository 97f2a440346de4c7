"""AdamW over two groups of parameters: those that are decayed and those that are not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainers.recipe import Training

UNDECAYED_ENDINGS = ("token", "tokens", "positions", "mixture")
"""Names of learned tokens, positions and shares end so; they are points in space, not the weights of a product."""


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to biases, gains and other one-dimensional parameters, tokens or positions."""
    return parameter.ndim > 1 and not name.endswith(UNDECAYED_ENDINGS)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into a decayed and an undecayed group, each in the network's order.

    Vectors that are looked up by number are points in space as tokens are, and not decayed.

    The official MAE code also decays its class and mask tokens, whose stored shape has three axes; here they are not.
    """
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    vectors = {table.weight for table in network.modules() if isinstance(table, nn.Embedding)}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_product = is_decayed(name, parameter) and parameter not in vectors
            (decayed if is_product else undecayed).append(parameter)
    groups: Sequence[tuple[list[nn.Parameter], float]] = ((decayed, weight_decay), (undecayed, 0.0))
    return [{"params": parameters, "weight_decay": decay} for parameters, decay in groups if parameters]


def build_optimiser(network: nn.Module, training: Training) -> torch.optim.AdamW:
    """AdamW as the recipe's training slot sets it; the learning rate is set anew before every step."""
    groups = parameter_groups(network, training.weight_decay)
    return torch.optim.AdamW(groups, lr=0.0, betas=training.betas, fused=True)
