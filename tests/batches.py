"""Batches made by hand, for tests of what is done with them."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from pipelines.batch import Batch
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.randomness import Draws
from pipelines.visits import Visits


def make_batch(
    keys: Sequence[str],
    inputs: Mapping[str, Tensor],
    *,
    plans: Mapping[str, MaskPlan] | None = None,
    stored: Mapping[str, Tensor] | None = None,
    labels: Tensor | None = None,
    lengths: Mapping[str, Tensor] | None = None,
    step: int = 0,
) -> Batch:
    """Return a batch of the first samples of one dataset."""
    ids = np.arange(len(keys))
    return Batch(
        keys=tuple(keys),
        visits=Visits(datasets=np.zeros_like(ids), ids=ids, epochs=np.zeros_like(ids)),
        inputs=inputs,
        lengths=lengths or {},
        plans=plans or {},
        stored=stored or {},
        labels=labels,
        damage=(),
        step=step,
    )


def context_of(keys: Sequence[str], *, seed: int = 0, epoch: int = 0) -> MaskContext:
    """Return what a masking sees of samples of which nothing is known but their keys."""
    draws = Draws.of(keys, epochs=[epoch] * len(keys), seed=seed)
    return MaskContext(draws=draws, inputs={}, stored={}, lengths={})
