"""Pictures of predictions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.inspect.glyphs import GLYPH, draw_histograms, strokes
from pipelines.transforms.hog import hog
from pipelines.transforms.image import normalise
from tests.batches import context_of, make_batch
from trainers.evaluate.reconstruction import Reconstruction, contact_sheet, reason_not_to_draw, reconstruct
from trainers.nn.network import Network
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe

SIDE = 32


class Oracle(Network):
    """Predicts exactly what is wanted."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.goals = recipe.goals({})
        self.batch: Batch | None = None

    def forward(self, inputs: object, plans: object) -> dict[str, Tensor]:
        assert self.batch is not None
        return self.goals(self.batch).wanted

    def encode(self, inputs: object) -> Tensor:
        raise NotImplementedError


def tiny(name: str) -> Recipe:
    settings = [f"modalities.image.size={SIDE}", "modalities.image.patch=8", "model.depth=1", "model.width=32"]
    return resolve_recipe(name, size="tiny", settings=[*settings, "model.heads=2"])


def shown(recipe: Recipe, network: Network | None = None) -> tuple[Reconstruction, Batch]:
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    keys = ("a", "b", "c")
    plan = recipe.masking["image"].plan(context_of(keys), modality=recipe.modality("image"))
    batch = make_batch(keys, {"image": images}, plans={"image": plan})
    chosen = network or Oracle(recipe)
    if isinstance(chosen, Oracle):
        chosen.batch = batch
    found = reconstruct(chosen, recipe, batch)
    assert isinstance(found, Reconstruction)
    return found, batch


def test_a_perfect_prediction_gives_back_the_picture() -> None:
    found, batch = shown(tiny("mae"))
    original, seen, restored = (found.tiles[:, place] for place in range(3))
    expected = batch.inputs["image"].permute(0, 2, 3, 1).numpy()
    assert np.array_equal(original, expected)
    assert np.abs(restored.astype(int) - expected).max() <= 1
    hidden = (seen != expected).any(axis=-1).mean()
    assert hidden == pytest.approx(0.75, abs=0.02)
    assert "mean and contrast" in found.note


def test_visible_patches_are_shown_as_they_are() -> None:
    recipe = tiny("mae")
    found, batch = shown(recipe, recipe.network(seed=0))
    patches = found.tiles.reshape(3, 3, 4, 8, 4, 8, 3)
    for sample, visible in enumerate(batch.plans["image"].visible.tolist()):
        for token in visible:
            original, _, restored = (patches[sample, tile, token // 4, :, token % 4] for tile in range(3))
            assert np.array_equal(original, restored)


def test_histograms_are_drawn_beside_the_picture() -> None:
    found, _ = shown(tiny("maskfeat"))
    assert found.tiles.shape == (3, 4, 8 * GLYPH, 8 * GLYPH, 3)
    assert np.array_equal(found.tiles[:, 2], found.tiles[:, 3])
    assert "histograms" in found.note


@pytest.mark.parametrize("upright", [True, False])
def test_strokes_run_along_the_edges(upright: bool) -> None:
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    (images[..., 14:] if upright else images[..., 14:, :]).fill_(255)
    values = hog(normalise(images), patch=16)
    histogram = values.reshape(1, 2, 2, 3, 9, 2, 2).mean(dim=3)[0, 0, 0, :, 0 if upright else 1, 1 if upright else 0]
    drawn = draw_histograms(histogram[None, None, None].numpy())[0, ..., 0].astype(float)
    down, right = np.mgrid[:GLYPH, :GLYPH] - (GLYPH - 1) / 2
    spread_down, spread_right = ((drawn * axis**2).sum() / drawn.sum() for axis in (down, right))
    assert spread_down > 2 * spread_right if upright else spread_right > 2 * spread_down


def test_every_bin_has_a_stroke_of_its_own() -> None:
    drawn = strokes(9).reshape(9, -1)
    likeness = np.corrcoef(drawn)
    assert (likeness - np.eye(9)).max() < 0.95


def test_sheet_holds_every_tile_and_enlarges_small_ones() -> None:
    tiles = np.full((3, 3, 8, 8, 3), 7, np.uint8)
    sheet = np.asarray(contact_sheet(tiles))
    assert (sheet == 7).all(axis=-1).sum() == 9 * 96 * 96


def test_pixels_that_are_predicted_as_they_are_need_nothing_of_the_original() -> None:
    found, batch = shown(tiny("simmim"))
    expected = batch.inputs["image"].permute(0, 2, 3, 1).numpy()
    assert np.abs(found.tiles[:, 2].astype(int) - expected).max() <= 1
    assert "mean and contrast" not in found.note


def test_pixels_are_drawn_of_a_recipe_that_predicts_features_too() -> None:
    recipe = tiny("mr_mae")
    found, _ = shown(recipe, recipe.network(seed=0))
    assert found.tiles.shape == (3, 3, SIDE, SIDE, 3)


@pytest.mark.parametrize("name", ["maskdistill", "beit_v2", "maskalign", "dbot"])
def test_what_a_teacher_said_is_not_drawn_and_the_reason_names_it(name: str) -> None:
    recipe = resolve_recipe(name, size="tiny")
    reason = reason_not_to_draw(recipe)
    assert reason is not None
    assert f"({', '.join(target.name for target in recipe.targets)}) are neither pixels nor" in reason
