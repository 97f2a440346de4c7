"""What a network imagines behind the mask: every target of a recipe, drawn beside what it is about."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.batch import Batch
from trainers.evaluate.drawing.choice import drawer_of
from trainers.evaluate.drawing.prediction import Drawing, Prediction
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Network
from trainers.recipe import Recipe, Target


def reasons_not_to_draw(recipe: Recipe) -> dict[str, str]:
    """Return why targets cannot be drawn, by their names; those that can be are left out."""
    found = {target.name: drawer_of(target, recipe.modality(target.modality)) for target in recipe.targets}
    return {name: reason for name, reason in found.items() if isinstance(reason, str)}


@torch.no_grad()
def reconstruct(network: Network, recipe: Recipe, batch: Batch, *, device: torch.device) -> dict[str, Drawing | str]:
    """Predict the masked tokens of a batch, and draw every target of the recipe; a reason stands for what cannot be drawn.

    The batch is on the CPU, the network on `device`; it is put into evaluation mode. Samples that lack the modality of a
    target are left out of its drawing.
    """
    network.eval()
    shown = batch.to(device)
    predicted = network(shown.inputs, shown.plans)
    return {target.name: _drawn(target, recipe, batch, predicted) for target in recipe.targets}


def _drawn(target: Target, recipe: Recipe, batch: Batch, predicted: dict[str, Tensor]) -> Drawing | str:
    modality = recipe.modality(target.modality)
    drawer = drawer_of(target, modality)
    if isinstance(drawer, str):
        return drawer
    rows = _rows_with(modality.name, batch)
    if not rows:
        return f"none of the first {len(batch)} samples has '{modality.name}'"
    values = _at_hidden(predicted[target.name].float().cpu(), target, batch)[rows]
    return drawer(Prediction(target=target, modality=modality, batch=_some(batch, rows), values=values))


def _at_hidden(
    values: Float[Tensor, "batch places dim"], target: Target, batch: Batch
) -> Float[Tensor, "batch hidden dim"]:
    """Return predictions at the target places of the plan."""
    return values if target.places == "target" else gather_tokens(values, batch.plans[target.modality].target)


def _rows_with(name: str, batch: Batch) -> list[int]:
    """Return which samples have a modality."""
    lengths = batch.lengths.get(name)
    return list(range(len(batch))) if lengths is None else lengths.nonzero()[:, 0].tolist()


def _some(batch: Batch, rows: list[int]) -> Batch:
    """Return some samples of a batch."""
    part = replace(batch, keys=tuple(batch.keys[row] for row in rows), visits=batch.visits.at(np.array(rows)))
    return part.changed(lambda tensor: tensor[rows])
