"""What a plan costs: token budgets over many modalities, and every other masking, per sample on one core.

    python -m benchmarks.masking

Nothing is read: batches of ids, scores, lengths and frames are made on the spot. A budget plan covers a sample with all of its
modalities. Texts are as long as captions (8 to 40 tokens) or lists of boxes (20 to 250) are. Every turn begins with plans that
do not count, so that memory is at hand, as it is in a loader after its first batches. How full budgets are is printed too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.measure import (
    Arm,
    Costs,
    TimeTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from pipelines.masking.block import BlockPatches
from pipelines.masking.budget import Alpha, Shares, TokenBudgets, VisibleBudget
from pipelines.masking.colour import ColourNoisePatches
from pipelines.masking.connected import ConnectedPatches
from pipelines.masking.in_units import InUnits
from pipelines.masking.language import MaskedLanguage
from pipelines.masking.motion import MotionPatches
from pipelines.masking.plan import JointMasking, MaskContext, Masking, MaskPlan
from pipelines.masking.random import RandomPatches
from pipelines.masking.score import ScoredPatches
from pipelines.masking.spans import Sentinels, SentinelSpans
from pipelines.masking.target_share import RunningCellTargets
from pipelines.masking.time_frequency import TimeFrequencyPatches
from pipelines.masking.tube import TubePatches
from pipelines.masking.units import UnitPatches
from pipelines.modalities import Clip, Image, LogMel, Modality, Text, Tokens
from pipelines.randomness import Draws

PACKAGES = ("maskloom", "torch", "numpy")
_UNCOUNTED = 2
FILL = 0.98
"""Least share of the slots of a budget that has to be filled."""

SEVEN, TWENTY_ONE = "budgets, 7 modalities, 128 + 128", "budgets, 21 modalities, 256 + 256"
TARGETS = tuple(TimeTarget(claim=f"1000 samples: {arm}", arm=arm, at_most=0.15) for arm in (SEVEN, TWENTY_ONE))


class Words:
    """Stands in for a tokenizer; maskings see ids only."""

    vocabulary = 30_000
    padding_id = 0

    def encode(self, text: str) -> list[int]:
        """Return a made-up id for every word."""
        return [len(word) for word in text.split()]

    def names(self, ids: Iterable[int]) -> list[str]:
        """Return numbers, since the words are made up."""
        return [str(number) for number in ids]


IMAGE, CLIP, SOUND = Image(size=224, patch=16), Clip(size=224, patch=16), LogMel()
SENTINELS = Sentinels(first=4, count=200)
TEXT_LENGTHS: Mapping[str, tuple[int, int]] = {"caption": (8, 40), "boxes": (20, 250)}


def grid(name: str, *sides: int) -> Tokens:
    """Return tokens that a teacher stored."""
    return Tokens(stored=name, grid=sides, vocabulary=8192)


def text(name: str, length: int = 256) -> Text:
    """Return a text of at most `length` tokens."""
    return Text(length=length, tokenizer=Words(), name=name)


SEVEN_MODALITIES: tuple[Modality, ...] = (
    IMAGE,
    *(grid(name, 14, 14) for name in ("depth", "normals", "segments", "clip")),
    text("caption"),
    text("boxes"),
)
TWENTY_ONE_MODALITIES: tuple[Modality, ...] = (
    *SEVEN_MODALITIES,
    *(grid(name, 14, 14) for name in ("image tokens", "canny", "edges", "instances")),
    *(grid(name, 16, 16) for name in ("dinov2", "imagebind")),
    *(grid(name, 16) for name in ("dinov2 global", "imagebind global")),
    grid("embedding", 77),
    *(text(name, length) for name, length in (("metadata", 40), ("poses", 275), ("palette", 23), ("more boxes", 290))),
    text("transcript"),
)


def everything(alpha: float, modalities: Sequence[Modality]) -> Shares:
    """Return shares of all modalities, with one concentration."""
    alphas = tuple(Alpha(name=modality.name, inputs=alpha, targets=alpha) for modality in modalities)
    return Shares(name=f"alpha {alpha:g}", alphas=alphas)


def from_image(modalities: Sequence[Modality]) -> Shares:
    """Return shares where nearly all inputs are the image."""
    alphas = [
        Alpha(name=modality.name, inputs=1000.0 if modality.name == "image" else 0.5, targets=0.5)
        for modality in modalities
    ]
    return Shares(name="from the image", alphas=tuple(alphas))


def make_context(modalities: Sequence[Modality], *, batch: int, turn: int) -> MaskContext:
    """Return a batch of what the maskings look at."""
    generator = np.random.default_rng(turn)
    inputs, lengths = {}, {}
    for modality in modalities:
        if isinstance(modality, Text):
            least, most = TEXT_LENGTHS.get(modality.name, (5, modality.length))
            lengths[modality.name] = torch.from_numpy(generator.integers(least, most + 1, batch))
            inputs[modality.name] = torch.from_numpy(generator.integers(500, 30_000, (batch, modality.length)))
        if isinstance(modality, Clip):
            frames = generator.integers(
                0, 256, (batch, 3, modality.frames, modality.size, modality.size), dtype=np.uint8
            )
            inputs[modality.name] = torch.from_numpy(frames)
    return MaskContext(
        draws=Draws.of([f"sample-{row}" for row in range(batch)], epochs=[turn] * batch, seed=0),
        inputs=inputs,
        stored={"attention": torch.from_numpy(generator.random((batch, IMAGE.num_tokens)))},
        lengths=lengths,
    )


def cost_of(
    masking: Masking | JointMasking, modalities: Sequence[Modality], *, batch: int, repeats: int
) -> Callable[[int], float]:
    """Return a cost function: CPU-seconds for the plans of one sample."""

    def cost(turn: int) -> float:
        context = make_context(modalities, batch=batch, turn=turn)
        for _ in range(_UNCOUNTED):
            planned(masking, context, modalities)

        def work() -> int:
            for _ in range(repeats):
                planned(masking, context, modalities)
            return repeats * batch

        return cpu_per_item(work)

    return cost


def planned(
    masking: Masking | JointMasking, context: MaskContext, modalities: Sequence[Modality]
) -> dict[str, MaskPlan]:
    """Return the plans of a batch by modality."""
    if isinstance(masking, JointMasking):
        return masking.plan_jointly(context, modalities=modalities)
    return {modality.name: masking.plan(context, modality=modality) for modality in modalities}


def seven_budgets() -> TokenBudgets:
    """Return budgets like those of 4M-7: everything to everything, and the image to everything."""
    mixture = (everything(0.5, SEVEN_MODALITIES), from_image(SEVEN_MODALITIES))
    return TokenBudgets(inputs=128, targets=128, mixture=mixture, sentinels=SENTINELS)


def twenty_one_budgets() -> TokenBudgets:
    """Return budgets like those of 4M-21: four concentrations, and the image to everything."""
    mixture = (
        *(everything(alpha, TWENTY_ONE_MODALITIES) for alpha in (0.01, 0.1, 1.0, 10.0)),
        from_image(TWENTY_ONE_MODALITIES),
    )
    return TokenBudgets(inputs=256, targets=256, mixture=mixture, sentinels=SENTINELS)


def filled_share(masking: TokenBudgets, modalities: Sequence[Modality], *, batch: int) -> float:
    """Return how many of the slots of both budgets are filled."""
    plans = planned(masking, make_context(modalities, batch=batch, turn=0), modalities).values()
    paddings = [(plan.visible, plan.visible_padding) for plan in plans] + [
        (plan.target, plan.target_padding) for plan in plans
    ]
    real = sum(places.numel() - (0 if padding is None else int(padding.sum())) for places, padding in paddings)
    return real / (batch * (masking.inputs + masking.targets))


def make_arms(batch: int, repeats: int) -> list[Arm]:
    """Return the budgets and every other masking."""
    caption = SEVEN_MODALITIES[-2]
    contestants: dict[str, tuple[Masking | JointMasking, Sequence[Modality]]] = {
        SEVEN: (seven_budgets(), SEVEN_MODALITIES),
        TWENTY_ONE: (twenty_one_budgets(), TWENTY_ONE_MODALITIES),
        "visible budget, 3 modalities": (VisibleBudget(visible=98), SEVEN_MODALITIES[:3]),
        "random": (RandomPatches(ratio=0.75), (IMAGE,)),
        "random, clip": (RandomPatches(ratio=0.9), (grid("video", 8, 14, 14),)),
        "blocks": (BlockPatches(ratio=0.4), (IMAGE,)),
        "cubes, clip": (BlockPatches(ratio=0.4), (grid("video", 8, 14, 14),)),
        "cubes in units, clip": (InUnits(masking=BlockPatches(ratio=0.4)), (Clip(size=224, patch=16),)),
        "units": (UnitPatches(ratio=0.6), (IMAGE,)),
        "tubes": (TubePatches(ratio=0.9), (grid("video", 8, 14, 14),)),
        "tubes, running cells": (RunningCellTargets(masking=TubePatches(ratio=0.9)), (grid("video", 8, 14, 14),)),
        "time and frequency": (TimeFrequencyPatches(time=0.2, frequency=0.2), (SOUND,)),
        "coloured noise": (ColourNoisePatches(ratio=0.75), (IMAGE,)),
        "connected": (ConnectedPatches(ratio=0.6, seeds=2), (IMAGE,)),
        "score": (ScoredPatches(score="attention", ratio=0.75, temperature=1.0), (IMAGE,)),
        "spans": (SentinelSpans(sentinels=SENTINELS), (caption,)),
        "language": (MaskedLanguage(mask_id=4, vocabulary=30_000), (caption,)),
    }
    arms = [
        Arm(name=name, cost=cost_of(masking, modalities, batch=batch, repeats=repeats))
        for name, (masking, modalities) in contestants.items()
    ]
    motion = Arm(name="motion", cost=cost_of(MotionPatches(ratio=0.75), (CLIP,), batch=16, repeats=1))
    return [*arms, motion]


def print_fill(console: Console, *, batch: int) -> dict[str, float]:
    """Print and return how full the budgets are."""
    fills = {
        SEVEN: filled_share(seven_budgets(), SEVEN_MODALITIES, batch=batch),
        TWENTY_ONE: filled_share(twenty_one_budgets(), TWENTY_ONE_MODALITIES, batch=batch),
    }
    for name, fill in fills.items():
        verdict = "met" if fill >= FILL else "falls short"
        console.print(f"{name}: {fill:.2%} of the slots filled (at least {FILL:.0%}: {verdict}).", highlight=False)
    return fills


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark the making of mask plans.")
    command.add_argument("--batch", type=int, default=256)
    command.add_argument("--repeats", type=int, default=6)
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/masking.json"))
    return command.parse_args()


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    fills = print_fill(console, batch=arguments.batch)
    costs = alternate(
        make_arms(arguments.batch, arguments.repeats), rounds=arguments.rounds, warm_up=1, console=console
    )
    print_costs("Plans, one process", costs, reference="random", console=console)
    thousands: Costs = {name: [1000 * value for value in values] for name, values in costs.items()}
    print_targets(TARGETS, thousands, console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    settings |= {f"filled: {name}": f"{fill:.4f}" for name, fill in fills.items()}
    settings |= {"seconds": "per 1000 samples"}
    write_results(arguments.json, thousands, targets=TARGETS, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
