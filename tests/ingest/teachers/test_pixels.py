"""Mean and spread of the pixels of every patch, as targets."""

import pytest
import torch

from ingest.teachers import new_teacher
from pipelines.transforms.image import normalise
from pipelines.transforms.patches import mean_and_spread, patchify
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU, some_pictures
from trainers.targets.patches import standardise_patches


def test_together_is_what_undoes_the_trainers_standardising() -> None:
    asked = new_teacher("pixels", size=64, settings=["channels=together"])
    statistics = asked.load(CPU)(some_pictures())
    patches = patchify(normalise(some_pictures()), 16)
    mean, spread = mean_and_spread(patches)
    assert statistics.shape[1:] == asked.shape == (16, 2)
    assert torch.allclose(statistics, torch.cat([mean, spread], dim=-1), atol=1e-6)
    assert torch.allclose(standardise_patches(patches) * statistics[..., 1:] + statistics[..., :1], patches, atol=1e-5)


def test_each_channel_has_its_mean_and_its_spread() -> None:
    asked = new_teacher("pixels", size=64, settings=["patch=32"])
    found = asked.load(CPU)(some_pictures())
    assert found.shape[1:] == asked.shape == (4, 6)
    corner = normalise(some_pictures())[:, :, 32:, :32].flatten(2)
    assert torch.allclose(found[:, 2, :3], corner.mean(dim=-1), atol=1e-6)
    assert torch.allclose(found[:, 2, 3:], corner.std(dim=-1), atol=1e-5)


def test_a_patch_of_one_colour_has_no_spread_but_the_floor() -> None:
    flat = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)
    found = new_teacher("pixels", size=32, settings=[]).load(CPU)(flat)
    assert found[..., 3:].max() < 1.1e-3


def test_patches_that_do_not_tile_are_refused() -> None:
    with pytest.raises(SettingsError, match="give a patch that divides the size"):
        _ = new_teacher("pixels", size=60, settings=[]).shape
