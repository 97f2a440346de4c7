"""Predictions that are exactly what is wanted, for tests of what is drawn of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.masking.random import RandomPatches
from tests.batches import context_of, make_batch
from trainers.evaluate.drawing.prediction import Prediction
from trainers.recipe import Target

KEYS = ("a", "b", "c")
HALF = RandomPatches(ratio=0.5)
CERTAIN = 50.0
"""The logit of what is right."""


def perfect(
    target: Target,
    modality: Any,
    inputs: Tensor,
    *,
    masking: Any = HALF,
    plan: MaskPlan | None = None,
    lengths: Mapping[str, Tensor] | None = None,
) -> Prediction:
    """Return a prediction of three samples that is right in everything; ids get logits that leave no doubt."""
    context = replace(context_of(KEYS), inputs={modality.name: inputs}, lengths=lengths or {})
    masked = plan or masking.plan(context, modality=modality)
    batch = replace(make_batch(KEYS, {modality.name: inputs}, plans={modality.name: masked}), lengths=lengths or {})
    wanted = target.build(modality)(batch)
    hidden = wanted.take_along_dim(masked.target[..., None], dim=1)
    if not hidden.is_floating_point():
        hidden = hidden if masked.target_ids is None else masked.target_ids[..., None]
        kinds = target.dim(modality) // hidden.shape[-1]
        hidden = torch.nn.functional.one_hot(hidden.clamp(0, kinds - 1), kinds).flatten(2) * CERTAIN
    return Prediction(target=target, modality=modality, batch=batch, values=hidden.float())


def wrong(prediction: Prediction) -> Prediction:
    """Return the same with predictions that are far off."""
    return replace(prediction, values=prediction.values.roll(1, dims=-1) + 1)


def partial_plan(tokens: int) -> MaskPlan:
    """Return a plan that shows few tokens, asks for a few others, and leaves the rest out; the last sample has padding."""
    order = torch.stack([torch.randperm(tokens, generator=torch.Generator().manual_seed(row)) for row in range(3)])
    visible, target = order[:, :2].clone(), order[:, 2:5].clone()
    padding = torch.zeros(3, 3, dtype=torch.bool)
    padding[2, 1:] = True
    target[2, 1:] = 0
    return MaskPlan(visible=visible, target=target, target_padding=padding)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Return numbers between 0 and 1."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(*shape: int) -> Tensor:
    """Return random pixels."""
    return (noise(*shape) * 256).to(torch.uint8)
