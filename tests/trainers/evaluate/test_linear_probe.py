"""Logistic regression."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from trainers.evaluate.linear_probe import L2_STRENGTHS, choose_l2, fit_probe


def blobs(seed: int, *, width: int = 12, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, width, generator=torch.Generator().manual_seed(99)) * 2
    labels = torch.arange(3).repeat(60)
    return centres[labels] + spread * torch.randn(180, width, generator=generator), labels


def test_separable_classes_are_told_apart() -> None:
    probe = fit_probe(*blobs(0), num_classes=3, l2=1e-3)
    features, labels = blobs(1)
    assert (probe.predict(features) == labels).float().mean() > 0.95


def test_minimum_is_that_of_scikit_learn() -> None:
    features, labels = blobs(2, spread=3.0)
    l2 = 1e-2
    probe = fit_probe(features.double(), labels, num_classes=3, l2=l2)
    standardised = ((features - features.mean(0)) / features.std(0, correction=0)).double().numpy()
    reference = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-10, max_iter=5000).fit(standardised, labels.numpy())
    np.testing.assert_allclose(probe.weight.numpy(), reference.coef_, atol=1e-4)


def test_fit_is_repeatable_and_ignores_scale_and_offset() -> None:
    features, labels = blobs(3, spread=2.0)
    first, second = (fit_probe(features, labels, num_classes=3, l2=1e-3) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    moved = fit_probe(features * 1000 - 7, labels, num_classes=3, l2=1e-3)
    assert torch.equal(first.predict(features), moved.predict(features * 1000 - 7))


def test_constant_features_do_no_harm() -> None:
    features, labels = blobs(4)
    features[:, 0] = 5.0
    assert fit_probe(features, labels, num_classes=3, l2=1e-3).weight.isfinite().all()


def test_noise_asks_for_the_strongest_regularisation_that_wins() -> None:
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(2).repeat(60)
    features = torch.randn(120, 100, generator=generator)
    features[:, 0] += 3 * labels
    chosen = choose_l2(features, labels, torch.arange(120) % 5 == 0, num_classes=2)
    assert chosen in L2_STRENGTHS
    assert chosen > L2_STRENGTHS[0]
