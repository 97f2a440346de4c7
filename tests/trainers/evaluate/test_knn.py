"""Nearest neighbours."""

import torch

from trainers.evaluate.knn import knn_classify


def test_separable_classes_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 16, generator=generator) * 3
    labels = torch.arange(4).repeat(50)
    train = centres[labels] + torch.randn(200, 16, generator=generator)
    test = centres[labels] + torch.randn(200, 16, generator=generator)
    predicted = knn_classify(train, labels, test, num_classes=4)
    assert (predicted == labels).float().mean() > 0.95


def test_only_the_direction_counts() -> None:
    train = torch.tensor([[1.0, 0.0], [0.0, 100.0]])
    predicted = knn_classify(train, torch.tensor([0, 1]), torch.tensor([[50.0, 1.0], [0.1, 0.2]]), num_classes=2)
    assert predicted.tolist() == [0, 1]


def test_one_close_neighbour_outweighs_two_distant_ones() -> None:
    train = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    predicted = knn_classify(train, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.01]]), num_classes=2, neighbours=3)
    assert predicted.tolist() == [0]


def test_many_rows_give_what_single_rows_give() -> None:
    generator = torch.Generator().manual_seed(1)
    train, test = torch.randn(300, 8, generator=generator), torch.randn(1500, 8, generator=generator)
    labels = torch.randint(0, 5, (300,), generator=generator)
    together = knn_classify(train, labels, test, num_classes=5)
    alone = torch.cat([knn_classify(train, labels, row[None], num_classes=5) for row in test[::50]])
    assert torch.equal(together[::50], alone)
