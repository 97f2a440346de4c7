"""Losses of several processes: the mean over all of them, and its gradient, are those of one process that has all samples."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor

from trainers.contrast import contrastive_loss, matching_loss
from trainers.exchange import averaged, gathered
from trainers.objectives import over_samples, over_tokens, squared_error

PROCESSES, BATCH = 2, 6
PRESENT = torch.tensor([True, True, False, True, True, True])
PADDING = torch.arange(5) >= torch.tensor([5, 2, 0, 4, 1, 5])[:, None]
"""What is padding of five places; the two halves differ in how much is."""


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def losses_of(rows: slice) -> tuple[Tensor, list[Tensor]]:
    """Every loss of some rows, and the gradients of what they are computed from."""
    first, second, predicted = (
        drawn(BATCH, *shape, seed=seed)[rows].requires_grad_()
        for seed, shape in enumerate(((8,), (8,), (5, 3)), start=1)
    )
    wanted, padding, present = drawn(BATCH, 5, 3, seed=4)[rows], PADDING[rows], PRESENT[rows]
    found = torch.stack(
        [
            contrastive_loss(first, second, present=present, temperature=0.1, directions="both"),
            contrastive_loss(first, second, present=present, temperature=0.1, directions="first"),
            over_tokens(squared_error(predicted, wanted), padding),
            over_samples(squared_error(predicted, wanted), padding),
        ]
    )
    found.sum().backward()  # type: ignore[no-untyped-call]
    gradients = [values.grad for values in (first, second, predicted)]
    assert all(gradient is not None for gradient in gradients)
    return found.detach(), [gradient for gradient in gradients if gradient is not None]


def one_of_several(rank: int, folder: str) -> None:
    """What each process does: losses of its own rows, written down."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    size = BATCH // PROCESSES
    losses, gradients = losses_of(slice(rank * size, (rank + 1) * size))
    torch.save((losses, gradients), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Tensor, list[Tensor]]]:
    folder = tmp_path_factory.mktemp("processes")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(one_of_several, args=(str(folder),), nprocs=PROCESSES)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def test_the_mean_over_processes_is_the_loss_of_all_samples(several: list[tuple[Tensor, list[Tensor]]]) -> None:
    whole, _ = losses_of(slice(None))
    torch.testing.assert_close(torch.stack([losses for losses, _ in several]).mean(dim=0), whole)


def test_averaged_gradients_are_those_of_all_samples(several: list[tuple[Tensor, list[Tensor]]]) -> None:
    _, whole = losses_of(slice(None))
    for place, gradient in enumerate(whole):
        parts = torch.cat([gradients[place] for _, gradients in several]) / PROCESSES
        torch.testing.assert_close(parts, gradient)


def test_with_one_process_nothing_is_exchanged() -> None:
    rows = drawn(3, 2, seed=1)
    assert gathered(rows) is rows
    assert averaged(torch.tensor(3.0)).item() == 3


def test_absent_samples_are_neither_looked_for_nor_found() -> None:
    first, second = drawn(BATCH, 8, seed=1), drawn(BATCH, 8, seed=2)
    kept = contrastive_loss(
        first[PRESENT], second[PRESENT], present=torch.ones(5, dtype=torch.bool), temperature=0.1, directions="both"
    )
    found = contrastive_loss(first, second, present=PRESENT, temperature=0.1, directions="both")
    torch.testing.assert_close(found, kept)


def test_a_batch_of_one_has_no_pair_that_was_put_together() -> None:
    found = matching_loss(torch.tensor([[2.0, 50.0]]), present=torch.tensor([True]))
    torch.testing.assert_close(found, torch.nn.functional.softplus(torch.tensor(-2.0)))


def test_matching_counts_pairs_of_which_both_are_there() -> None:
    scores = torch.tensor([[2.0, -1.0], [0.5, 0.0], [3.0, 3.0]])
    present = torch.tensor([True, True, False])
    single = torch.nn.functional.binary_cross_entropy_with_logits
    expected = [single(scores[0, 0], torch.tensor(1.0)), single(scores[1, 0], torch.tensor(1.0))]
    # Row 0 put together has the absent sample before it, row 1 has row 0.
    expected.append(single(scores[1, 1], torch.tensor(0.0)))
    torch.testing.assert_close(matching_loss(scores, present=present), torch.stack(expected).mean())
