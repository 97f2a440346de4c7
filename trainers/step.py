"""One optimiser step: a batch in, gradients averaged over micro batches and ranks, parameters moved."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.batch import Batch
from pipelines.device.choice import autocast
from pipelines.randomness import hash_key
from shards.errors import SettingsError
from trainers.optimiser import build_optimiser
from trainers.parallel import World, replicate
from trainers.recipe import Decoder, Recipe
from trainers.schedule import WarmupCosine


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one step measured on this rank. Tensors stay on the device: reading them would make the host wait.

    `losses` is float32 [1 + terms]: the weighted total, then each term by itself in the order of `Learner.terms`.
    """

    losses: Tensor
    grad_norm: Tensor
    lr: float
    num_samples: int
    num_tokens: int | Tensor


def micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Cut a batch into `count` consecutive parts of equal size.

    Raises:
        SettingsError: `count` does not divide the batch.
    """
    size, left_over = divmod(len(batch.keys), count)
    if left_over or not size:
        raise SettingsError(
            f"--accumulate {count} cannot cut this process's {len(batch.keys)} samples per step into equal parts. "
            f"Choose a divisor of {len(batch.keys)}."
        )
    for start in range(0, len(batch.keys), size):
        yield batch.rows(slice(start, start + size))


def count_tokens(batch: Batch) -> int | Tensor:
    """The tokens that are embedded or predicted: visible and target tokens of all samples and modalities, no padding.

    Where there is padding, the count is a tensor on the device: reading it would make the host wait.
    """
    counts = [
        _num_real(tokens, padding)
        for plan in batch.plans.values()
        for tokens, padding in ((plan.visible, plan.visible_padding), (plan.target, plan.target_padding))
    ]
    return sum(counts, start=0)


def _num_real(tokens: Tensor, padding: Tensor | None) -> int | Tensor:
    return tokens.numel() if padding is None else tokens.numel() - padding.sum()


class Learner:
    """A network with its optimiser, and the step that moves it.

    `decoders` make what a teacher said out of its stored rows, by the name of the stored target.
    `network` is the bare module on its device, for checkpoints. Dropout and drop path, where a recipe has them, draw
    from a generator seeded anew at every step from (seed, step, rank), so a resumed run needs no saved random state.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        decoders: Mapping[str, Decoder],
        schedule: WarmupCosine,
        steps_per_epoch: float,
        world: World,
        seed: int,
        dtype: torch.dtype = torch.float32,
        accumulate: int = 1,
    ) -> None:
        self.network: nn.Module = recipe.network(seed=seed).to(world.device)
        self.optimiser = build_optimiser(self.network, recipe.training)
        self._terms = tuple(term.name for term in recipe.objective)
        self._recipe = recipe
        self._goals = recipe.goals(decoders)
        self._schedule = schedule
        self._steps_per_epoch = steps_per_epoch
        self._world = world
        self._seed = seed
        self._dtype = dtype
        self._accumulate = accumulate
        self._replica = replicate(self.network, world)
        self._parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the terms of the objective, in the order of `StepResult.losses`."""
        return self._terms

    def compile(self) -> None:
        """Let torch compile the forward and backward passes; the first step then takes minutes."""
        self.network.compile()

    def step(self, batch: Batch, *, taken: int) -> StepResult:
        """Move the parameters by one step on this rank's part of a global batch, which is on its device; `taken` came before.

        Gradients are averaged over micro batches and ranks. Where all samples have as many predicted tokens, that is the
        gradient of the whole global batch at once; where some have padding, or lack a modality, each micro batch has a mean of
        its own, and a contrast looks for partners within its micro batch.
        """
        lr = self._schedule.at(taken / self._steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        torch.manual_seed(hash_key(self._seed, taken, self._world.rank, "step"))
        self.optimiser.zero_grad(set_to_none=True)
        losses = self._accumulate_gradients(self._recipe.augmented(batch, seed=self._seed))
        grad_norm = self._clip()
        self.optimiser.step()
        return StepResult(
            losses=losses, grad_norm=grad_norm, lr=lr, num_samples=len(batch.keys), num_tokens=count_tokens(batch)
        )

    def _accumulate_gradients(self, batch: Batch) -> Tensor:
        summed = torch.zeros(1 + len(self._terms), device=self._world.device)
        for place, part in enumerate(micro_batches(batch, self._accumulate), start=1):
            with self._synchronised(last=place == self._accumulate):
                total, terms = self._losses(part)
                (total / self._accumulate).backward()  # type: ignore[no-untyped-call]
            summed += torch.stack([total.detach(), *(terms[name].detach() for name in self._terms)])
        return summed / self._accumulate

    def _synchronised(self, *, last: bool) -> AbstractContextManager[Any]:
        """Ranks exchange gradients once per step, during the last backward pass."""
        if isinstance(self._replica, nn.parallel.DistributedDataParallel) and not last:
            return self._replica.no_sync()
        return nullcontext()

    def _losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        goals = self._goals(batch)
        with autocast(self._world.device, self._dtype):
            predictions = self._replica(batch.inputs, batch.plans)
        # A squared error loses its small part in bfloat16.
        return self._recipe.loss({name: values.float() for name, values in predictions.items()}, goals)

    def _clip(self) -> Tensor:
        """The norm of the whole gradient, which is scaled down to `clip_norm` when the recipe sets one."""
        largest = self._recipe.training.clip_norm
        if largest is None:
            gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            return nn.utils.get_total_norm(gradients)
        return nn.utils.clip_grad_norm_(self._parameters, largest)
