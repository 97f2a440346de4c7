"""What every masking promises, whatever it hides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.block import BlockPatches
from pipelines.masking.budget import Alpha, Shares, TokenBudgets, VisibleBudget
from pipelines.masking.colour import ColourNoisePatches
from pipelines.masking.connected import ConnectedPatches
from pipelines.masking.in_units import InUnits
from pipelines.masking.language import MaskedLanguage
from pipelines.masking.motion import MotionPatches
from pipelines.masking.random import RandomPatches
from pipelines.masking.score import ScoredPatches
from pipelines.masking.separate import Separate
from pipelines.masking.spans import Sentinels, SentinelSpans
from pipelines.masking.target_share import RandomTargets, RunningCellTargets
from pipelines.masking.time_frequency import TimeFrequencyPatches
from pipelines.masking.tube import TubePatches
from pipelines.masking.units import UnitPatches
from pipelines.modalities import Modality
from tests.pipelines.masking.golden import GOLDEN
from tests.pipelines.masking.samples import (
    ALL,
    CLIP,
    DEPTH,
    IMAGE,
    LOGMEL,
    NUM_SAMPLES,
    POINTS,
    TEXT,
    Told,
    World,
    full_world,
    plans_of,
    ragged_world,
    told,
)

SENTINELS = Sentinels(first=100, count=10)
MIXTURE = (
    Shares(name="any", alphas=tuple(Alpha(name=one.name, inputs=0.5, targets=0.5) for one in ALL)),
    Shares(name="to_text", weight=0.5, alphas=(Alpha(name="image", inputs=1.0), Alpha(name="text", targets=1.0))),
)


@dataclass(frozen=True)
class Case:
    """A masking with modalities it suits. `leaves_out` if some tokens are neither seen nor predicted."""

    masking: Any
    modalities: tuple[Modality, ...]
    world: World
    leaves_out: bool = False
    overlaps: bool = False


FULL, RAGGED = full_world(), ragged_world()
CASES = {
    "random": Case(RandomPatches(ratio=0.75), (IMAGE,), FULL),
    "random, clip": Case(RandomPatches(ratio=0.9), (CLIP,), FULL),
    "random, ragged": Case(RandomPatches(ratio=0.75), (TEXT,), RAGGED),
    "block": Case(BlockPatches(ratio=0.4), (IMAGE,), FULL),
    "block, clip": Case(BlockPatches(ratio=0.4), (CLIP,), FULL),
    "block, ragged": Case(BlockPatches(ratio=0.4), (LOGMEL,), RAGGED),
    "units": Case(UnitPatches(ratio=0.6, unit=2), (IMAGE,), FULL),
    "units, ragged": Case(UnitPatches(ratio=0.6, unit=2), (LOGMEL,), RAGGED),
    "in units": Case(InUnits(masking=RandomPatches(ratio=0.6)), (IMAGE,), FULL),
    "in units, clip": Case(InUnits(masking=BlockPatches(ratio=0.4)), (CLIP,), FULL),
    "tube": Case(TubePatches(ratio=0.9), (CLIP,), FULL),
    "time and frequency": Case(TimeFrequencyPatches(time=0.4, frequency=0.3), (LOGMEL,), FULL),
    "time, ragged": Case(TimeFrequencyPatches(time=0.6), (LOGMEL,), RAGGED),
    "colour": Case(ColourNoisePatches(ratio=0.75), (IMAGE,), FULL),
    "connected": Case(ConnectedPatches(ratio=0.6, seeds=2), (IMAGE,), FULL),
    "connected points": Case(ConnectedPatches(ratio=0.6, coordinates="centres"), (POINTS,), FULL),
    "score": Case(ScoredPatches(score="attention", ratio=0.5, random=0.3), (IMAGE,), FULL),
    "score, drawn": Case(ScoredPatches(score="attention", ratio=0.5, hidden="lowest", temperature=1.0), (IMAGE,), FULL),
    "motion": Case(MotionPatches(ratio=0.75), (CLIP,), FULL),
    "as if full": Case(AsIfFull(masking=RandomPatches(ratio=0.8)), (LOGMEL,), FULL),
    "random targets": Case(RandomTargets(masking=RandomPatches(ratio=0.75)), (IMAGE,), FULL, leaves_out=True),
    "running cells": Case(RunningCellTargets(masking=TubePatches(ratio=0.9)), (CLIP,), FULL, leaves_out=True),
    "random targets of spans": Case(
        RandomTargets(masking=SentinelSpans(sentinels=SENTINELS)), (TEXT,), RAGGED, leaves_out=True, overlaps=True
    ),
    "spans": Case(SentinelSpans(sentinels=SENTINELS, ratio=0.3), (TEXT,), RAGGED, overlaps=True),
    "language": Case(MaskedLanguage(mask_id=4, vocabulary=1000, ratio=0.3), (TEXT,), RAGGED, overlaps=True),
    "visible budget": Case(VisibleBudget(visible=20), (IMAGE, DEPTH, TEXT), RAGGED),
    "token budgets": Case(
        TokenBudgets(inputs=24, targets=24, mixture=MIXTURE, sentinels=SENTINELS),
        ALL,
        RAGGED,
        leaves_out=True,
        overlaps=True,
    ),
    "separate": Case(
        Separate(maskings={"image": RandomPatches(ratio=0.75), "text": SentinelSpans(sentinels=SENTINELS)}),
        (IMAGE, TEXT),
        RAGGED,
        overlaps=True,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def planned(case: Case, rows: list[int], *, epoch: int = 0, seed: int = 1) -> list[dict[str, Told]]:
    """The plans of some samples, one after the other, by modality."""
    context = case.world.context(rows, epoch=epoch, seed=seed)
    by_modality = {name: told(plan) for name, plan in plans_of(case.masking, context, case.modalities).items()}
    return [{name: plans[sample] for name, plans in by_modality.items()} for sample in range(len(rows))]


@every_case
def test_visible_and_target_part_the_real_tokens(case: Case) -> None:
    context = case.world.context()
    plans = plans_of(case.masking, context, case.modalities)
    assert list(plans) == [modality.name for modality in case.modalities]
    for modality in case.modalities:
        for plan, num_real in zip(told(plans[modality.name]), context.num_real(modality), strict=True):
            seen, predicted = set(plan.visible), set(plan.target)
            assert seen | predicted <= set(range(num_real))
            assert case.leaves_out or seen | predicted == set(range(num_real))
            if not case.overlaps:
                assert not seen & predicted
                assert len(seen) + len(predicted) == len(plan.visible) + len(plan.target)


@every_case
def test_padding_stands_at_the_end_is_zero_and_is_marked_only_where_there_is_some(case: Case) -> None:
    for plan in plans_of(case.masking, case.world.context(), case.modalities).values():
        for half in ("visible", "target"):
            padding = getattr(plan, f"{half}_padding")
            if padding is None:
                continue
            assert padding.any()
            assert not padding.all(dim=0).any()
            assert torch.equal(padding, padding.cummax(dim=1).values)
            for values in (getattr(plan, half), getattr(plan, f"{half}_ids")):
                assert values is None or not values[padding].any()


@every_case
def test_the_plan_of_a_sample_depends_neither_on_its_neighbours_nor_on_its_place(case: Case) -> None:
    everyone = list(range(NUM_SAMPLES))
    shuffled = np.random.default_rng(3).permutation(everyone).tolist()
    together = planned(case, everyone, epoch=2)
    assert planned(case, shuffled, epoch=2) == [together[row] for row in shuffled]
    for row in (0, 1, 2, 17):
        assert planned(case, [row], epoch=2) == [together[row]]


@every_case
def test_plans_differ_between_samples_epochs_and_seeds(case: Case) -> None:
    rows = list(range(2, NUM_SAMPLES))
    base = planned(case, rows)
    for other in (planned(case, rows, epoch=1), planned(case, rows, seed=2), base[1:] + base[:1]):
        differing = sum(mine != theirs for mine, theirs in zip(base, other, strict=True))
        assert differing > len(rows) / 2


@every_case
def test_an_empty_batch_has_empty_plans(case: Case) -> None:
    for plan in plans_of(case.masking, case.world.context([]), case.modalities).values():
        assert plan.visible.shape[0] == plan.target.shape[0] == 0


@pytest.mark.parametrize("name", CASES)
def test_the_draws_are_those_of_the_first_release(name: str) -> None:
    (found,) = planned(CASES[name], [2], epoch=1)
    assert {modality: beginnings(plan) for modality, plan in found.items()} == GOLDEN[name]


def beginnings(plan: Told) -> str:
    """The first seven numbers of all that a plan says."""
    parts = (plan.visible, plan.target, plan.visible_ids, plan.target_ids)
    return " | ".join(" ".join(map(str, part[:7])) for part in parts if part is not None)


def test_every_tensor_of_a_plan_can_be_changed() -> None:
    plan = plans_of(CASES["spans"].masking, RAGGED.context(), (TEXT,))["text"]
    assert told(plan.changed(lambda tensor: tensor[3:9])) == told(plan)[3:9]
