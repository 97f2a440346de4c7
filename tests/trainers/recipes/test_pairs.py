"""Two pictures of one scene, on a dataset that holds them: each is looked at by itself, and one is completed."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.component import Component
from pipelines.stream import Stream
from pipelines.views import Extent, View
from shards.adopt import adopt
from shards.dataset import Dataset
from tests.trainers.recipes.samples import small_settings
from trainers.launch import Request
from trainers.loop import Ending
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe

SQUARE = Extent(height=256, width=256)


def png(number: int, *, height: int, width: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs, the pictures of which differ in shape."""
    root = tmp_path_factory.mktemp("data") / "pairs"
    root.mkdir()
    with tarfile.open(root / "0.tar", "w") as tar:
        for number in range(12):
            for side, (height, width) in {"left": (40, 48), "right": (36, 36)}.items():
                data = png(2 * number + (side == "right"), height=height, width=width)
                member = tarfile.TarInfo(f"pair{number:02d}.{side}.png")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    adopt(root)
    return root


def seen(look: int, *, epoch: int = 0) -> View:
    views = resolve_recipe("croco", size="tiny").fresh_views()
    return views.choose("a", epoch=epoch, seed=1, extent=SQUARE, look=look)[1]


def test_each_picture_of_a_pair_has_a_crop_of_224_of_256_pixels_and_colours_of_its_own() -> None:
    for epoch in range(5):
        left, right = seen(0, epoch=epoch), seen(1, epoch=epoch)
        assert [(view.height, view.width, view.flip) for view in (left, right)] == [(224, 224, False)] * 2
        assert (left.top, left.left) != (right.top, right.left)
        assert left.colours is not None
        assert left.colours != right.colours
        assert all(0.6 <= factor <= 1.4 for factor in (left.colours.brightness, left.colours.contrast))


def small(*settings: str) -> Recipe:
    return resolve_recipe("croco", size="tiny", settings=[*small_settings("croco"), *settings])


def looks_of(recipe: Recipe, pairs: Path) -> list[torch.Tensor]:
    stream = Stream(
        [Component(dataset=Dataset.open(pairs))],
        modalities=recipe.modalities,
        views=[recipe.fresh_views()] * recipe.num_looks,
        masking=recipe.masking,
        global_batch=4,
        seed=0,
        steps=1,
    )
    (batch,) = stream
    assert batch.plans["right"].target.shape == (4, 0)
    assert batch.plans["right"].visible.shape == (4, 16)
    return [batch.inputs[name] for name in ("left", "right")]


def test_one_field_for_both_gives_two_looks_at_one_picture_or_the_same_look_twice(pairs: Path) -> None:
    two = looks_of(small("modalities.right.field=left"), pairs)
    assert not (two[0] == two[1]).flatten(1).all(dim=1).any()
    same = looks_of(small("modalities.right.field=left", "modalities.right.look=0"), pairs)
    assert torch.equal(*same)


def test_a_run_learns_from_pairs_whose_pictures_differ_in_shape(
    asked: Request, run_training: Callable[..., Ending], pairs: Path
) -> None:
    settings = (*small_settings("croco"), "model.decoder.depth=1")
    request = replace(asked, recipe="croco", settings=settings, data=(str(pairs),), epochs=None, steps=2)
    assert run_training(request) == Ending(step=2, signal=None)
