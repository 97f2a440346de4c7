"""Which targets of a recipe are drawn, of which samples, and why others are not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.masking.random import RandomPatches
from pipelines.masking.separate import Separate, plans_of
from pipelines.modalities import Clip, Image, LogMel, Points, Raster, Text
from pipelines.tokenizers.byte import ByteTokenizer
from tests.batches import context_of, make_batch
from tests.trainers.evaluate.drawing.making import CERTAIN, KEYS, noise, pixels
from tests.trainers.recipes.samples import batch_for, small_settings
from trainers.content_losses import class_cross_entropy, group_chamfer_l2, measured_absolute_error
from trainers.evaluate.drawing.prediction import Drawing, Guesses, Tiles
from trainers.evaluate.reconstruction import reasons_not_to_draw, reconstruct
from trainers.nn.network import Network
from trainers.objectives import Loss, cross_entropy, squared_error
from trainers.recipe import Recipe, Target
from trainers.registry import recipe_names, resolve_recipe
from trainers.targets.features import FeatureTarget
from trainers.targets.groups import GroupPoints
from trainers.targets.patches import NormalisedPatches, PixelPatches
from trainers.targets.rasters import ClassMap, RasterPatches
from trainers.targets.texts import TextIds
from trainers.terms import Term

SIDE = 32
CPU = torch.device("cpu")
IMAGE, OTHER = Image(size=SIDE, patch=8), Image(size=SIDE, patch=8, name="other", look=1)
CLIP = Clip(size=16, patch=8, frames=4)
LOGMEL = LogMel(frames=32, bins=16, patch=8)
POINTS = Points(count=48, groups=6, neighbours=8)
DEPTH = Raster(size=SIDE, patch=8, field="depth")
SEGMENTS = Raster(size=SIDE, patch=8, field="segments", is_ids=True, classes=5)
TEXT = Text(length=12, tokenizer=ByteTokenizer(sentinels=0))
INPUTS: Mapping[str, Tensor] = {
    "image": pixels(3, 3, SIDE, SIDE),
    "other": pixels(3, 3, SIDE, SIDE),
    "video": pixels(3, 3, 4, 16, 16),
    "logmel": noise(3, 32, 16) * 12 - 12,
    "points": noise(3, 48, 3),
    "depth": noise(3, 1, SIDE, SIDE),
    "segments": (noise(3, 1, SIDE, SIDE) * 5).long(),
    "text": torch.tensor([[*TEXT.tokenizer.encode(text), *[0] * 12][:12] for text in ("a dog", "two birds", "")]),
}
LOSSES: Mapping[type, Loss] = {
    TextIds: cross_entropy,
    ClassMap: class_cross_entropy,
    GroupPoints: group_chamfer_l2,
    RasterPatches: measured_absolute_error,
}


class Oracle(Network):
    """Predicts exactly what is wanted; ids by logits that leave no doubt."""

    def __init__(self, recipe: Recipe, batch: Batch) -> None:
        super().__init__()
        self.recipe, self.wanted = recipe, recipe.goals({})(batch).wanted

    def forward(self, inputs: object, plans: object) -> dict[str, Tensor]:
        return {target.name: self._certain(self.wanted[target.name], target) for target in self.recipe.targets}

    def _certain(self, wanted: Tensor, target: Target) -> Tensor:
        if wanted.is_floating_point():
            return wanted
        kinds = target.dim(self.recipe.modality(target.modality)) // wanted.shape[-1]
        return torch.nn.functional.one_hot(wanted, kinds).flatten(2) * CERTAIN

    def encode(self, inputs: object) -> Tensor:
        raise NotImplementedError


def recipe_of(*pairs: tuple[Any, Target], others: tuple[Any, ...] = (), jointly: bool = False) -> Recipe:
    """A recipe of several modalities and a target of each; its model is never built."""
    modalities = (*(modality for modality, _ in pairs), *others)
    maskings = {modality.name: RandomPatches(ratio=0.5) for modality in modalities}
    targets = tuple(target for _, target in pairs)
    return replace(
        resolve_recipe("mae", size="tiny"),
        modalities=modalities,
        masking=Separate(maskings=maskings) if jointly else maskings,
        targets=targets,
        objective=tuple(Term(target=one.name, loss=LOSSES.get(type(one), squared_error)) for one in targets),
    )


def masked(recipe: Recipe, lengths: Mapping[str, Tensor] | None = None) -> Batch:
    inputs = {modality.name: INPUTS[modality.name] for modality in recipe.modalities}
    context = replace(context_of(KEYS), inputs=inputs, lengths=lengths or {})
    plans = plans_of(recipe.masking, context, recipe.modalities)
    return replace(make_batch(KEYS, inputs, plans=plans), lengths=lengths or {})


def drawn(recipe: Recipe, lengths: Mapping[str, Tensor] | None = None) -> dict[str, Drawing | str]:
    batch = masked(recipe, lengths)
    return reconstruct(Oracle(recipe, batch), recipe, batch, device=CPU)


EVERY = (
    (IMAGE, NormalisedPatches()),
    (CLIP, PixelPatches(name="clips", modality="video")),
    (LOGMEL, NormalisedPatches(name="sounds", modality="logmel")),
    (POINTS, GroupPoints(name="groups")),
    (DEPTH, RasterPatches(modality="depth")),
    (SEGMENTS, ClassMap(modality="segments")),
    (TEXT, TextIds()),
)


@pytest.mark.parametrize("jointly", [False, True])
def test_every_target_of_a_recipe_of_all_modalities_is_drawn(jointly: bool) -> None:
    recipe = recipe_of(*EVERY, jointly=jointly)
    found = drawn(recipe)
    assert list(found) == ["patches", "clips", "sounds", "groups", "numbers", "classes", "text"]
    assert not reasons_not_to_draw(recipe)
    for name, drawing in found.items():
        if name == "text":
            assert isinstance(drawing, Guesses)
            assert [caption.key for caption in drawing.captions] == list(KEYS)
        else:
            assert isinstance(drawing, Tiles)
            assert drawing.pictures.shape[:2] == (3, 3)
            assert drawing.note


def test_two_views_of_one_scene_are_drawn_each_by_itself() -> None:
    pairs = ((IMAGE, PixelPatches(name="one")), (OTHER, PixelPatches(name="two", modality="other")))
    found = drawn(recipe_of(*pairs))
    for name, modality in (("one", "image"), ("two", "other")):
        drawing = found[name]
        assert isinstance(drawing, Tiles)
        assert np.array_equal(drawing.pictures[:, 0], INPUTS[modality].permute(0, 2, 3, 1).numpy())


def test_samples_that_lack_a_modality_are_left_out_of_its_drawing() -> None:
    pairs = ((IMAGE, NormalisedPatches()), (TEXT, TextIds()), (DEPTH, RasterPatches(modality="depth")))
    lengths = {"text": torch.tensor([7, 0, 2]), "depth": torch.tensor([0, 0, 0])}
    found = drawn(recipe_of(*pairs), lengths)
    assert isinstance(found["patches"], Tiles)
    assert len(found["patches"].pictures) == 3
    assert isinstance(found["text"], Guesses)
    assert [caption.key for caption in found["text"].captions] == ["a", "c"]
    assert found["numbers"] == "none of the first 3 samples has 'depth'"


def test_targets_that_cannot_be_drawn_are_named_with_the_reason_beside_those_that_are() -> None:
    features = FeatureTarget(table="clip", width=4, places="target", normalisation="none")
    recipe = recipe_of((IMAGE, features), (LOGMEL, NormalisedPatches(name="sounds", modality="logmel")))
    assert reasons_not_to_draw(recipe) == {
        "features": "it is what a teacher said of the samples, which makes no picture"
    }


@pytest.mark.parametrize("name", ["maskdistill", "beit_v2", "maskalign", "dbot"])
def test_what_a_teacher_said_is_not_drawn(name: str) -> None:
    recipe = resolve_recipe(name, size="tiny")
    reasons = reasons_not_to_draw(recipe)
    assert reasons.keys() == {target.name for target in recipe.targets}
    assert all("teacher" in reason or "places" in reason for reason in reasons.values())


def test_a_target_that_nothing_draws_is_named_with_its_modality() -> None:
    recipe = recipe_of((SEGMENTS, NormalisedPatches(name="odd", modality="segments")))
    assert reasons_not_to_draw(recipe) == {"odd": "nothing draws NormalisedPatches of Raster"}


@pytest.mark.parametrize("name", ["mae", "simmim", "mr_mae"])
def test_recipes_of_pictures_are_drawn_by_their_networks(name: str) -> None:
    settings = [f"modalities.image.size={SIDE}", "modalities.image.patch=8", "model.depth=1", "model.width=32"]
    recipe = resolve_recipe(name, size="tiny", settings=[*settings, "model.heads=2"])
    batch = masked(recipe)
    found = reconstruct(recipe.network(seed=0), recipe, batch, device=CPU)
    tiles = [drawing for drawing in found.values() if isinstance(drawing, Tiles)]
    assert len(tiles) == 1
    patches = tiles[0].pictures.reshape(3, 3, 4, 8, 4, 8, 3)
    for sample, visible in enumerate(batch.plans["image"].visible.tolist()):
        for token in visible:
            original, _, restored = (patches[sample, tile, token // 4, :, token % 4] for tile in range(3))
            assert np.array_equal(original, restored)


NAMES = [name for name in recipe_names() if not name.startswith("vq_")]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_recipe_computes_from_the_batch_is_drawn_of_its_network(name: str) -> None:
    recipe = resolve_recipe(name, size="tiny", settings=small_settings(name))
    found = reconstruct(recipe.network(seed=0), recipe, batch_for(recipe), device=CPU)
    for target in recipe.targets:
        assert target.stored is not None or isinstance(found[target.name], Tiles | Guesses), found[target.name]
