from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.transforms.hog import hog, hog_cells, votes_by_bin, votes_by_index
from shards.errors import SettingsError

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "maskfeat_hog.safetensors")
# Ten times the difference between float32 and float64 in the reference.
TOLERANCE = {"atol": 1e-6, "rtol": 0.0}


def test_cells_and_targets_are_those_of_the_reference() -> None:
    torch.testing.assert_close(hog_cells(GOLDEN["inputs/images"], cell=8), GOLDEN["outputs/hog_cells"], **TOLERANCE)
    torch.testing.assert_close(hog(GOLDEN["inputs/images"]), GOLDEN["outputs/target"], **TOLERANCE)


@pytest.mark.parametrize(
    ("images", "target"),
    [("images_uint8_normalised", "target_uint8_exact"), ("images_float", "target_float_exact")],
)
def test_rounding_residue_does_not_vote(images: str, target: str) -> None:
    torch.testing.assert_close(hog(GOLDEN[f"inputs/{images}"]), GOLDEN[f"corrected/{target}"], **TOLERANCE)


def test_the_loss_on_masked_patches_is_that_of_the_reference() -> None:
    target = hog(GOLDEN["inputs/images"])[GOLDEN["noise/mask"].bool()]
    torch.testing.assert_close(target, GOLDEN["outputs/target_masked"], **TOLERANCE)
    loss = (GOLDEN["inputs/prediction_masked"] - target).square().mean()
    torch.testing.assert_close(loss, GOLDEN["outputs/loss"], **TOLERANCE)


def test_both_ways_of_counting_agree() -> None:
    images = GOLDEN["inputs/images_float"]
    torch.testing.assert_close(
        votes_by_bin(images, cell=8, bins=9), votes_by_index(images, cell=8, bins=9), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize(("angle", "wanted"), [("across", 4), ("down", 0)])
def test_a_ramp_votes_for_one_bin_whatever_the_sign_of_its_contrast(angle: str, wanted: int) -> None:
    ramp = torch.linspace(0, 4, 32).expand(1, 3, 32, 32)
    image = ramp if angle == "across" else ramp.mT
    for signed in (image, -image):
        inner = hog_cells(signed.contiguous(), cell=8)[:, :, :, 1:-1, 1:-1]
        assert torch.equal(inner.argmax(dim=2), torch.full_like(inner[:, :, 0], wanted, dtype=torch.long))
        torch.testing.assert_close(inner.amax(dim=2), torch.ones_like(inner[:, :, 0]))


def test_a_flat_picture_has_no_orientation() -> None:
    assert torch.equal(hog(torch.full((1, 3, 32, 32), 0.12345)), torch.zeros(1, 4, 108))


def test_histograms_are_float32_under_autocast_and_for_half_precision_input() -> None:
    images = GOLDEN["inputs/images"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(hog(images), GOLDEN["outputs/target"], **TOLERANCE)
    assert hog(images.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(("patch", "cell", "values"), [(16, 8, 108), (14, None, 108), (16, 4, 432), (8, 8, 27)])
def test_patches_and_cells_of_other_sizes(patch: int, cell: int | None, values: int) -> None:
    images = torch.rand(2, 3, patch * 2, patch * 3)
    assert hog(images, patch=patch, cell=cell).shape == (2, 6, values)


def test_cells_that_do_not_tile_are_refused() -> None:
    with pytest.raises(SettingsError, match="Patches of 16 pixels"):
        hog(torch.rand(1, 3, 32, 32), patch=16, cell=5)
    with pytest.raises(SettingsError, match="cells of 8 pixels"):
        hog(torch.rand(1, 3, 36, 32), patch=16)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_values_every_time() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images = GOLDEN["inputs/images_uint8_normalised"].cuda()
    found = hog(images)
    assert torch.equal(found, hog(images))
    torch.testing.assert_close(found.cpu(), GOLDEN["corrected/target_uint8_exact"], **TOLERANCE)
