"""Shared by the tests of maskings: batches of any samples of a small world, and plans told sample by sample."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.masking.plan import JointMasking, MaskContext, Masking, MaskPlan
from pipelines.modalities import Clip, Image, LogMel, Modality, Points, Text, Tokens
from pipelines.randomness import Draws

NUM_SAMPLES = 40


class Words:
    """Stands in for a tokenizer; maskings see ids only."""

    vocabulary = 1000
    padding_id = 0

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def names(self, ids: Iterable[int]) -> list[str]:
        return [str(number) for number in ids]


IMAGE = Image(size=6, patch=1)
DEPTH = Tokens(stored="depth", grid=(4, 4), vocabulary=100)
CLIP = Clip(size=8, patch=2, frames=8, tubelet=2)
LOGMEL = LogMel(frames=32, bins=16, patch=4)
POINTS = Points(count=64, groups=16, neighbours=4)
TEXT = Text(length=24, tokenizer=Words())
ALL = (IMAGE, DEPTH, CLIP, LOGMEL, POINTS, TEXT)


@dataclass(frozen=True)
class World:
    """What the samples hold: the draws of a batch are those of the chosen samples, its tensors their rows."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    stored: Mapping[str, Tensor] = field(default_factory=dict)
    lengths: Mapping[str, Tensor] = field(default_factory=dict)

    def context(self, rows: Sequence[int] = range(NUM_SAMPLES), *, epoch: int = 0, seed: int = 1) -> MaskContext:
        chosen = list(rows)
        return MaskContext(
            draws=draws(chosen, epoch=epoch, seed=seed),
            inputs={name: values[chosen] for name, values in self.inputs.items()},
            stored={name: values[chosen] for name, values in self.stored.items()},
            lengths={name: values[chosen] for name, values in self.lengths.items()},
        )


def draws(rows: Sequence[int], *, epoch: int = 0, seed: int = 1) -> Draws:
    return Draws.of([f"sample-{row}" for row in rows], epochs=[epoch] * len(rows), seed=seed)


def full_world() -> World:
    generator = np.random.default_rng(0)
    return World(
        inputs={
            "video": torch.from_numpy(generator.integers(0, 256, (NUM_SAMPLES, 3, 8, 8, 8), dtype=np.uint8)),
            "text": torch.from_numpy(generator.integers(500, 1000, (NUM_SAMPLES, TEXT.length))),
        },
        stored={
            "attention": torch.from_numpy(generator.random((NUM_SAMPLES, IMAGE.num_tokens), dtype=np.float32)),
            "centres": torch.from_numpy(generator.random((NUM_SAMPLES, POINTS.groups, 3), dtype=np.float32)),
        },
    )


def ragged_world() -> World:
    """The full world, but samples differ in length: number 0 has nothing, number 1 one token, number 2 all."""
    generator = np.random.default_rng(1)
    lengths = {}
    for modality in (LOGMEL, TEXT, DEPTH):
        drawn = generator.integers(0, modality.num_tokens + 1, NUM_SAMPLES)
        drawn[:3] = 0, 1, modality.num_tokens
        lengths[modality.name] = torch.from_numpy(drawn)
    return World(inputs=full_world().inputs, stored=full_world().stored, lengths=lengths)


@dataclass(frozen=True)
class Told:
    """The plan of one sample of one modality, without padding."""

    visible: tuple[int, ...]
    target: tuple[int, ...]
    visible_ids: tuple[int, ...] | None = None
    target_ids: tuple[int, ...] | None = None


def told(plan: MaskPlan) -> list[Told]:
    halves = {name: _rows(plan, name) for name in ("visible", "target", "visible_ids", "target_ids")}
    return [
        Told(**{name: rows[sample] if rows is not None else None for name, rows in halves.items()})  # type: ignore[arg-type]
        for sample in range(len(plan.visible))
    ]


def _rows(plan: MaskPlan, name: str) -> list[tuple[int, ...]] | None:
    values: Tensor | None = getattr(plan, name)
    if values is None:
        return None
    padding: Tensor | None = getattr(plan, f"{name.removesuffix('_ids')}_padding")
    is_real = torch.ones_like(values, dtype=torch.bool) if padding is None else ~padding
    return [tuple(row[real].tolist()) for row, real in zip(values, is_real, strict=True)]


def plans_of(masking: Any, context: MaskContext, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
    if isinstance(masking, JointMasking):
        return masking.plan_jointly(context, modalities=modalities)
    assert isinstance(masking, Masking)
    (modality,) = modalities
    return {modality.name: masking.plan(context, modality=modality)}


def hidden_in(plan: MaskPlan, modality: Modality) -> np.ndarray:
    """Which tokens are targets, bool [batch, *grid]; of plans without padding."""
    masks = np.zeros((len(plan.target), modality.num_tokens), dtype=bool)
    np.put_along_axis(masks, plan.target.numpy(), True, axis=1)
    return masks.reshape(-1, *modality.grid)
