"""Linear probe: multinomial logistic regression on frozen, standardised features."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

L2_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Candidates for the L2 strength, in units of the mean loss per sample."""
ITERATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A fitted linear classifier: standardise, multiply, add."""

    mean: Float[Tensor, " width"]
    scale: Float[Tensor, " width"]
    weight: Float[Tensor, "classes width"]
    bias: Float[Tensor, " classes"]

    def predict(self, features: Float[Tensor, "samples width"]) -> Int[Tensor, " samples"]:
        """The most probable class of every row."""
        standardised = (features - self.mean) / self.scale
        return (standardised @ self.weight.T + self.bias).argmax(dim=1)


def fit_probe(
    features: Float[Tensor, "samples width"],
    labels: Int[Tensor, " samples"],
    *,
    num_classes: int,
    l2: float,
    iterations: int = ITERATIONS,
) -> Probe:
    """Minimise mean cross-entropy + l2 / 2 * |weight|^2 over all samples at once with L-BFGS.

    The problem is convex and starts at zero, so the result is deterministic. Width and classes cost memory only for
    the classifier; a constant feature gets scale 1.
    """
    mean = features.mean(dim=0)
    deviation = features.std(dim=0, correction=0)
    scale = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
    standardised = (features - mean) / scale
    weight = torch.zeros(num_classes, features.shape[1], dtype=features.dtype, device=features.device)
    bias = torch.zeros(num_classes, dtype=features.dtype, device=features.device)
    _minimise(weight.requires_grad_(), bias.requires_grad_(), standardised, labels, l2=l2, iterations=iterations)
    return Probe(mean=mean, scale=scale, weight=weight.detach(), bias=bias.detach())


def _minimise(
    weight: Float[Tensor, "classes width"],
    bias: Float[Tensor, " classes"],
    inputs: Float[Tensor, "samples width"],
    labels: Int[Tensor, " samples"],
    *,
    l2: float,
    iterations: int,
) -> None:
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, history_size=10, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def loss_and_gradient() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weight.T + bias, labels) + 0.5 * l2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimiser.step(loss_and_gradient)  # type: ignore[no-untyped-call]


def choose_l2(
    features: Float[Tensor, "samples width"],
    labels: Int[Tensor, " samples"],
    held_out: Bool[Tensor, " samples"],
    *,
    num_classes: int,
) -> float:
    """The strength of `L2_STRENGTHS` with the best accuracy on the `held_out` rows after fitting on the others.

    Ties go to the stronger regularisation.
    """

    def accuracy(l2: float) -> float:
        probe = fit_probe(features[~held_out], labels[~held_out], num_classes=num_classes, l2=l2)
        return float((probe.predict(features[held_out]) == labels[held_out]).float().mean())

    return max(reversed(L2_STRENGTHS), key=accuracy)
