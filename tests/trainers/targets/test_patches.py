import torch

from pipelines.modalities import Image
from pipelines.transforms.patches import mean_and_spread
from tests.batches import make_batch
from trainers.targets.patches import PixelPatches, standardise_patches


def test_standardised_patches_have_mean_zero_and_unbiased_variance_one() -> None:
    patches = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0)) * 3 + 1
    standard = standardise_patches(patches)
    torch.testing.assert_close(standard.mean(dim=-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.var(dim=-1), torch.ones(2, 5), atol=1e-4, rtol=0)


def test_a_flat_patch_becomes_zeros() -> None:
    assert not standardise_patches(torch.full((1, 2, 48), 0.25)).any()


def test_statistics_turn_standardised_patches_into_pixels_again() -> None:
    patches = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    mean, spread = mean_and_spread(patches)
    torch.testing.assert_close(standardise_patches(patches) * spread + mean, patches)


def test_pixels_are_predicted_as_the_network_is_shown_them() -> None:
    image = Image(size=32, patch=16)
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = PixelPatches().build(image)(make_batch(("a",), {"image": pixels}))
    assert wanted.shape == (1, image.num_tokens, PixelPatches().dim(image)) == (1, 4, 768)
    channel, row, column = 2, 20, 5
    mean, std = 0.406, 0.225
    inside = ((row - 16) * 16 + column) * 3 + channel
    expected = (pixels[0, channel, row, column].item() / 255 - mean) / std
    torch.testing.assert_close(wanted[0, 2, inside].item(), expected, atol=1e-5, rtol=0)
