from math import exp, lgamma

import numpy as np
import pytest

from pipelines.masking.dirichlet import log_gammas
from tests.pipelines.masking.samples import draws

SAMPLES = 40_000
DRAWS = draws(range(SAMPLES))


def dirichlet(alphas: list[float]) -> np.ndarray:
    logarithms = log_gammas(DRAWS, np.tile(alphas, (SAMPLES, 1)), purpose="mask/test")
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "alphas", [[1.0, 1.0, 1.0], [0.5] * 7, [0.01] * 4, [0.1, 1.0, 10.0], [1000.0, 1.0, 0.01], [1000.0] * 3]
)
def test_shares_have_the_means_and_variances_of_the_dirichlet_distribution(alphas: list[float]) -> None:
    found, total = dirichlet(alphas), sum(alphas)
    means = np.array(alphas) / total
    variances = means * (1 - means) / (total + 1)
    np.testing.assert_allclose(found.mean(axis=0), means, atol=5 * np.sqrt(variances.max() / SAMPLES))
    np.testing.assert_allclose(found.var(axis=0), variances, rtol=0.1, atol=1e-9)


@pytest.mark.parametrize("alphas", [[0.5] * 7, [0.1, 1.0, 10.0], [1000.0, 3.0]])
def test_shares_have_the_quantiles_of_numpy(alphas: list[float]) -> None:
    theirs = np.random.default_rng(0).dirichlet(alphas, SAMPLES)
    levels = np.linspace(0, 1, 21)[1:-1]
    for mine, reference in zip(dirichlet(alphas).T, theirs.T, strict=True):
        below = np.searchsorted(np.sort(mine), np.quantile(reference, levels)) / SAMPLES
        assert abs(below - levels).max() < 0.015


def test_the_smallest_shares_are_those_of_theory() -> None:
    # The chance of a share below x, for small x, is x^a / (a B(a, b)). NumPy's own draws underflow here.
    found = dirichlet([0.01] * 4)[:, 0]
    scale = 0.01 * exp(lgamma(0.01) + lgamma(0.03) - lgamma(0.04))
    for smallest in (1e-150, 1e-100, 1e-50, 1e-20):
        assert (found < smallest).mean() == pytest.approx(smallest**0.01 / scale, abs=0.01)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 1.5, 7.0, 1000.0])
def test_logarithms_have_the_moments_of_a_gamma_variate(alpha: float) -> None:
    found = log_gammas(DRAWS, np.full((SAMPLES, 1), alpha), purpose="mask/moments")[:, 0]
    assert np.isfinite(found).all()
    step = 1e-4 * alpha
    mean = (lgamma(alpha + step) - lgamma(alpha - step)) / (2 * step)
    variance = (lgamma(alpha + step) - 2 * lgamma(alpha) + lgamma(alpha - step)) / step**2
    assert found.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / SAMPLES))
    assert found.var() == pytest.approx(variance, rel=0.08)


def test_an_alpha_of_zero_never_gets_a_share() -> None:
    found = log_gammas(DRAWS, np.tile([0.0, 1.0], (SAMPLES, 1)), purpose="mask/test")
    assert np.isneginf(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


def test_parts_and_samples_are_independent() -> None:
    found = dirichlet([1.0] * 4)
    assert abs(np.corrcoef(found[:-1, 0], found[1:, 0])[0, 1]) < 0.02
    # Parts of a Dirichlet draw with four equal parts correlate by -1/3.
    np.testing.assert_allclose(np.corrcoef(found.T)[np.triu_indices(4, 1)], -1 / 3, atol=0.03)
