"""Wrappers that leave a share of the hidden tokens out of the target, so that a decoder has fewer to predict."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.masking.grids import box_of
from pipelines.masking.plan import MaskContext, Masking, MaskPlan, stored_of_masking
from pipelines.masking.ragged import Bools, filled, marked, padding_of
from pipelines.masking.ranking import each_once
from pipelines.masking.shares import ceil_share, floor_share, require_within
from pipelines.modalities import Modality
from shards.errors import SettingsError

_CELL = 4
"""Patches in a cell of two by two."""


@dataclass(frozen=True, kw_only=True)
class RandomTargets:
    """Predict a random share `kept` of what `masking` hides (Wang et al., arXiv:2303.16727).

    floor(hidden * kept) tokens are predicted, at least one (the product of the decimal number as written); the others are
    neither visible nor predicted.

    Raises:
        SettingsError: The share is not above 0 and at most 1.
    """

    masking: Masking
    kept: float = 0.5

    def __post_init__(self) -> None:
        _require_kept(self.kept)

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that plans are made from."""
        return stored_of_masking(self.masking)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`."""
        plan = self.masking.plan(context, modality=modality)
        real = _real_targets(plan)
        noise = context.draws.uniforms(real.shape[1], purpose=f"mask/{modality.name}/kept")
        ranks = np.where(real, noise, np.inf).argsort(axis=1, kind="stable").argsort(axis=1)
        counts = each_once(real.sum(axis=1), lambda hidden: max(1, floor_share(hidden, self.kept)))
        return with_targets(plan, real & (ranks < counts[:, None]))


@dataclass(frozen=True, kw_only=True)
class RunningCellTargets:
    """Predict only those hidden tokens of a clip that a running cell meets (Wang et al., arXiv:2303.16727, section 3.2).

    In every cell of two by two patches ceil(4 * kept) places that follow each other, counted row by row, are met (the product
    of the decimal number as written); from one time to the next they move on by one place. All cells of a sample run
    alike, from a random place.

    Raises:
        SettingsError: The share is not above 0 and at most 1.
    """

    masking: Masking
    kept: float = 0.5

    def __post_init__(self) -> None:
        _require_kept(self.kept)

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that plans are made from."""
        return stored_of_masking(self.masking)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality has no times.
        """
        times, rows, columns = np.indices(box_of(modality, masking="A running cell"))
        plan = self.masking.plan(context, modality=modality)
        start = np.floor(context.draws.uniforms(1, purpose=f"mask/{modality.name}/cell") * _CELL).astype(np.int64)
        turn = (times + 2 * (rows % 2) + columns % 2).reshape(-1)
        is_met = (turn + start) % _CELL < ceil_share(_CELL, self.kept)
        return with_targets(plan, _real_targets(plan) & np.take_along_axis(is_met, plan.target.numpy(), axis=1))


def with_targets(plan: MaskPlan, kept: Bools) -> MaskPlan:
    """Return `plan` with only those targets that are `kept` [batch, target]."""
    padding = padding_of(kept.sum(axis=1))
    halves = {"target": plan.target, "target_ids": plan.target_ids}
    chosen = {name: filled(values.numpy()[kept], padding) for name, values in halves.items() if values is not None}
    return replace(plan, **chosen, target_padding=marked(padding))


def _real_targets(plan: MaskPlan) -> Bools:
    if plan.target_padding is None:
        return np.ones(plan.target.shape, dtype=np.bool_)
    return ~plan.target_padding.numpy()


def _require_kept(kept: float) -> None:
    require_within("share of hidden tokens to predict", kept, least=0.0, most=1.0)
    if kept == 0:
        raise SettingsError("None of the hidden tokens would be predicted; give a share above 0.")
