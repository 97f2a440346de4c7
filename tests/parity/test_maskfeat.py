"""Parity with MaskFeat: its target and loss, from facebookresearch/SlowFast at commit 287ec00.

`tests/golden/maskfeat_hog.json` says how the tensors were made. Where the published code turns rounding residue into
votes, ours follows exact arithmetic: those values are in `corrected/`. Tolerance 1e-6, ten times the difference between
float32 and float64.
"""

from pathlib import Path

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from pipelines.settings import apply_settings
from tests.batches import make_batch
from trainers.nn.network import Output
from trainers.recipes import maskfeat
from trainers.terms import Goals

TENSORS = load_file(Path(__file__).parents[1] / "golden" / "maskfeat_hog.safetensors")
RECIPE = apply_settings(maskfeat.recipe(), ["modalities.image.size=80"])
EVERYTHING = torch.arange(25).expand(2, 25)


def wanted(images: Tensor, target: Tensor = EVERYTHING) -> Tensor:
    keys = [str(row) for row in range(len(images))]
    plan = MaskPlan(visible=target[:, :0], target=target)
    batch = make_batch(keys, {"image": images}, plans={"image": plan})
    return RECIPE.goals({})(batch).wanted["hog"]


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_recipe_predicts_histograms_of_the_published_size() -> None:
    assert RECIPE.modalities == (Image(size=80, patch=16),)
    assert RECIPE.outputs() == {"hog": Output(dim=108, modality="image")}


def test_target_of_every_patch_is_that_of_the_reference() -> None:
    assert_close(wanted(TENSORS["inputs/images"]), TENSORS["outputs/target"])


def test_target_holds_the_cells_of_the_reference_by_channel_bin_row_and_column() -> None:
    cells = rearrange(
        wanted(TENSORS["inputs/images"]),
        "batch (row column) (channel bin y x) -> batch channel bin (row y) (column x)",
        row=5,
        channel=3,
        bin=9,
        y=2,
    )
    assert_close(cells, TENSORS["outputs/hog_cells"])


def test_target_where_rounding_decides_is_that_of_exact_arithmetic() -> None:
    assert_close(wanted(TENSORS["inputs/images_float"]), TENSORS["corrected/target_float_exact"])
    assert_close(wanted(TENSORS["inputs/images_uint8_normalised"]), TENSORS["corrected/target_uint8_exact"])


def test_target_where_rounding_does_not_decide_is_that_of_the_reference() -> None:
    settled = TENSORS["outputs/float_rounding_sensitive"] == 0
    assert settled.any()
    assert_close(wanted(TENSORS["inputs/images_float"])[settled], TENSORS["outputs/target_float"][settled])


def test_target_of_pixels_is_that_of_the_pictures_they_normalise_to() -> None:
    pixels = TENSORS["inputs/images_uint8"].to(torch.uint8)
    assert_close(wanted(pixels), TENSORS["corrected/target_uint8_exact"])


def test_target_and_loss_of_the_masked_patches_are_those_of_the_reference() -> None:
    mask = TENSORS["noise/mask"].bool()
    found, start = [], 0
    for row, hidden in enumerate(mask):
        places = hidden.nonzero().T
        values = wanted(TENSORS["inputs/images"][row : row + 1], places)
        count = places.shape[1]
        assert_close(values[0], TENSORS["outputs/target_masked"][start : start + count])
        found.append(values)
        start += count
    assert start == len(TENSORS["inputs/prediction_masked"])
    total, terms = RECIPE.loss(
        {"hog": TENSORS["inputs/prediction_masked"][None]}, Goals(wanted={"hog": torch.cat(found, dim=1)})
    )
    assert total.item() == pytest.approx(TENSORS["outputs/loss"].item(), abs=1e-6)
    assert terms["hog"].item() == total.item()
