"""Masking that counts what fills a sample as part of it."""

from dataclasses import replace

import torch

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.random import RandomPatches
from pipelines.modalities import LogMel
from tests.batches import context_of

SOUND = LogMel(frames=64, bins=32, patch=16)


def test_short_samples_are_masked_like_long_ones() -> None:
    whole = context_of(["a", "b"])
    short = replace(whole, lengths={"logmel": torch.tensor([8, 2]), "text": torch.tensor([1, 1])})
    masking = RandomPatches(ratio=0.75)
    plan = AsIfFull(masking=masking).plan(short, modality=SOUND)
    expected = masking.plan(whole, modality=SOUND)
    assert torch.equal(plan.visible, expected.visible)
    assert torch.equal(plan.target, expected.target)
    assert plan.visible_padding is None
    assert masking.plan(short, modality=SOUND).visible_padding is not None


def test_a_sample_without_sound_shows_none_and_is_asked_for_none() -> None:
    context = replace(context_of(["a", "b"]), lengths={"logmel": torch.tensor([3, 0])})
    plan = AsIfFull(masking=RandomPatches(ratio=0.75)).plan(context, modality=SOUND)
    assert plan.visible_padding is not None
    assert plan.target_padding is not None
    assert plan.visible_padding.tolist() == [[False] * 2, [True] * 2]
    assert plan.target_padding.tolist() == [[False] * 6, [True] * 6]
