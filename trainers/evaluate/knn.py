"""Weighted nearest-neighbour classification of frozen features: no training, so it measures the features alone."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = 20
TEMPERATURE = 0.07
ROWS_AT_ONCE = 1024


def knn_classify(
    train: Float[Tensor, "train width"],
    labels: Int[Tensor, " train"],
    test: Float[Tensor, "test width"],
    *,
    num_classes: int,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Int[Tensor, " test"]:
    """Predict the class of every `test` row from its nearest `train` rows by cosine similarity.

    Each of the `neighbours` nearest rows votes for its class with weight exp(similarity / temperature), as in Wu et
    al. 2018 (arXiv:1805.01978, section 3.4) and DINO (arXiv:2104.14294). With fewer training rows, all of them vote.
    """
    reference = torch.nn.functional.normalize(train, dim=1)
    predicted = [
        _vote(torch.nn.functional.normalize(rows, dim=1) @ reference.T, labels, num_classes, neighbours, temperature)
        for rows in torch.split(test, ROWS_AT_ONCE)
    ]
    return torch.cat(predicted)


def _vote(
    similarity: Float[Tensor, "test train"],
    labels: Int[Tensor, " train"],
    num_classes: int,
    neighbours: int,
    temperature: float,
) -> Int[Tensor, " test"]:
    nearest = similarity.topk(min(neighbours, similarity.shape[1]), dim=1)
    # Subtracting the largest similarity changes no ranking and keeps exp() in range.
    weights = ((nearest.values - nearest.values[:, :1]) / temperature).exp()
    votes = torch.zeros(len(similarity), num_classes, dtype=weights.dtype, device=weights.device)
    votes.scatter_add_(1, labels[nearest.indices], weights)
    return votes.argmax(dim=1)
