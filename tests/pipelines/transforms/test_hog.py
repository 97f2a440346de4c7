from pathlib import Path
from typing import Protocol

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from pipelines.transforms.hog import grey_patch_hog, hog, hog_cells, patch_hog
from pipelines.transforms.image import normalise
from shards.errors import SettingsError

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "maskfeat_hog.safetensors")
# Ten times the difference between float32 and float64 in the reference.
TOLERANCE = 1e-6


def assert_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=0.0)


class PatchHistograms(Protocol):
    def __call__(self, images: Tensor, *, patch: int) -> Tensor: ...


def pixels(height: int = 64, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)


def test_cells_and_targets_are_those_of_the_reference() -> None:
    assert_close(hog_cells(GOLDEN["inputs/images"], cell=8), GOLDEN["outputs/hog_cells"])
    assert_close(hog(GOLDEN["inputs/images"]), GOLDEN["outputs/target"])


@pytest.mark.parametrize(
    ("images", "target"),
    [("images_uint8_normalised", "target_uint8_exact"), ("images_float", "target_float_exact")],
)
def test_rounding_residue_does_not_vote(images: str, target: str) -> None:
    assert_close(hog(GOLDEN[f"inputs/{images}"]), GOLDEN[f"corrected/{target}"])


def test_the_loss_on_masked_patches_is_that_of_the_reference() -> None:
    target = hog(GOLDEN["inputs/images"])[GOLDEN["noise/mask"].bool()]
    assert_close(target, GOLDEN["outputs/target_masked"])
    loss = (GOLDEN["inputs/prediction_masked"] - target).square().mean()
    assert_close(loss, GOLDEN["outputs/loss"])


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
        assert_close(hog(images), GOLDEN["outputs/target"])
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


@pytest.mark.parametrize("histograms", [patch_hog, grey_patch_hog])
def test_the_negative_of_a_picture_has_the_same_histograms(histograms: PatchHistograms) -> None:
    assert_close(histograms(255 - pixels(), patch=16), histograms(pixels(), patch=16))


@pytest.mark.parametrize("histograms", [patch_hog, grey_patch_hog])
def test_a_shift_by_whole_patches_shifts_histograms_away_from_the_border(histograms: PatchHistograms) -> None:
    picture = pixels(64, 80)
    whole = rearrange(histograms(picture, patch=16), "batch (row column) values -> batch row column values", row=4)
    part = rearrange(
        histograms(picture[..., 16:], patch=16), "batch (row column) values -> batch row column values", row=4
    )
    assert torch.equal(part[:, :, 1:], whole[:, :, 2:])
    assert not torch.equal(part[:, :, 0], whole[:, :, 1])


@pytest.mark.parametrize("histograms", [patch_hog, grey_patch_hog])
def test_histograms_repeat_and_do_not_depend_on_the_rest_of_the_batch(histograms: PatchHistograms) -> None:
    together = histograms(pixels(), patch=16)
    assert together.dtype == torch.float32
    assert torch.equal(together, histograms(pixels(), patch=16))
    assert torch.equal(together[1:], histograms(pixels()[1:], patch=16))


def test_a_grey_picture_has_the_histograms_of_any_of_its_channels() -> None:
    grey = pixels()[:, :1].expand(-1, 3, -1, -1)
    found = grey_patch_hog(grey, patch=16)
    assert found.shape == (2, 12, 36)
    for channel in range(3):
        wanted = patch_hog(grey, patch=16)[..., channel * 36 : channel * 36 + 36]
        assert_close(found, wanted)


def test_pixels_and_normalised_pictures_have_the_same_grey_histograms() -> None:
    from_pixels, from_floats = (grey_patch_hog(images, patch=16) for images in (pixels(), normalise(pixels())))
    torch.testing.assert_close(from_pixels, from_floats, atol=1e-5, rtol=0)


def test_a_strong_green_edge_outvotes_a_blue_one_in_luminance() -> None:
    ramp = torch.arange(0, 64, 2, dtype=torch.uint8).expand(1, 32, 32)
    picture = torch.stack([torch.zeros_like(ramp), ramp, ramp.mT], dim=1)
    histograms = rearrange(grey_patch_hog(picture, patch=16), "1 patch (bin cell) -> patch cell bin", bin=9)
    # The gradient is 0.587 across and 0.114 down, 79 degrees from the vertical.
    assert torch.equal(histograms[3, 0].argmax(), torch.tensor(3))
    torch.testing.assert_close(histograms[3, 0].amax(), torch.tensor(1.0))


def test_a_flat_picture_has_no_orientation_in_luminance() -> None:
    picture = torch.tensor([10, 200, 77], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 48, 48)
    assert torch.equal(grey_patch_hog(picture, patch=16), torch.zeros(1, 9, 36))


@pytest.mark.parametrize("histograms", [patch_hog, grey_patch_hog])
def test_an_odd_patch_is_refused(histograms: PatchHistograms) -> None:
    with pytest.raises(SettingsError, match="a patch of 7 pixels does not allow it"):
        histograms(pixels(), patch=7)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_values_every_time() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images = GOLDEN["inputs/images_uint8_normalised"].cuda()
    found = hog(images)
    assert torch.equal(found, hog(images))
    assert_close(found.cpu(), GOLDEN["corrected/target_uint8_exact"])
