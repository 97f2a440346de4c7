import torch

from trainers.targets.patches import patch_statistics, standardise_patches


def test_standardised_patches_have_mean_zero_and_unbiased_variance_one() -> None:
    patches = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0)) * 3 + 1
    standard = standardise_patches(patches)
    torch.testing.assert_close(standard.mean(dim=-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.var(dim=-1), torch.ones(2, 5), atol=1e-4, rtol=0)


def test_a_flat_patch_becomes_zeros() -> None:
    assert not standardise_patches(torch.full((1, 2, 48), 0.25)).any()


def test_statistics_turn_standardised_patches_into_pixels_again() -> None:
    patches = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    mean, spread = patch_statistics(patches)
    torch.testing.assert_close(standardise_patches(patches) * spread + mean, patches)
