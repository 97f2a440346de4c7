"""Renders fields that were made for a test, without a dataset."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from pipelines.rendering.renderer import Renderer
from pipelines.views import Extent, View
from tests.pipelines.many_kinds import Stored

FULL = View(top=0, left=0, height=48, width=64, size=16)
"""A look at the whole of a picture of 48 x 64 pixels."""


def facts_of(field: str, stored: Stored, **changed: Any) -> Mapping[str, Any]:
    """Return what the index knows of a field."""
    return {f"{field}.{fact}": value for fact, value in {**stored.facts, **changed}.items()}


def extent_of(renderer: Renderer, stored: Stored, **changed: Any) -> Extent:
    return renderer.extent(facts_of(renderer.field, stored, **changed))


def rendered(
    renderer: Renderer, stored: Stored, view: View, *, extent: Extent | None = None, **changed: Any
) -> tuple[Tensor, int]:
    """Render a field; `changed` replaces some of its facts. The row has to fit into those of `empty`."""
    facts = facts_of(renderer.field, stored, **changed)
    row, real = renderer.render(stored.data, facts, view, extent or renderer.extent(facts))
    blank = renderer.empty(1)[0]
    assert (row.shape, row.dtype) == (blank.shape, blank.dtype)
    return row, real


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
