"""The two sides of `benchmarks.train`: a `Learner` of maskloom, and the step of a published code, on the same made-up batch."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.reference_networks import Attend, softmax_attention
from benchmarks.reference_steps import ReferenceStep
from pipelines.batch import Batch
from pipelines.device.choice import Precision, pick_device, precision_dtype
from pipelines.masking.plan import MaskContext
from pipelines.masking.separate import plans_of
from pipelines.modalities import Clip, Image, LogMel, Modality
from pipelines.randomness import Draws
from pipelines.visits import Visits
from trainers.parallel import World, make_repeatable
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe
from trainers.schedule import WarmupCosine
from trainers.step import Learner

OURS = "maskloom"
ATTENTION: Mapping[str, Attend] = {
    "published": softmax_attention,
    "published, fused": scaled_dot_product_attention,
}
"""The ways in which a published code attends, by the name of its arm: written out, or as a current timm does it."""

_STEPS_OF_MEMORY = 2  # the second has the state of the optimiser from the beginning


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What both sides train: `batch` samples a step, made up, by a recipe at a size, changed by settings."""

    recipe: str
    size: str
    settings: tuple[str, ...]
    batch: int
    device: str
    precision: Precision
    threads: int

    @cached_property
    def resolved(self) -> Recipe:
        """The recipe."""
        return resolve_recipe(self.recipe, size=self.size, settings=(*self.settings, f"training.batch={self.batch}"))

    @property
    def on(self) -> torch.device:
        """What is computed on."""
        return pick_device("cuda" if self.device == "cuda" else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The number format of matrix products."""
        return precision_dtype(self.precision)

    def ready_batch(self) -> Batch:
        """Return a batch of noise with the masks of the recipe, on the device."""
        generator = torch.Generator().manual_seed(0)
        keys = tuple(f"{number:06d}" for number in range(self.batch))
        ids = np.arange(self.batch)
        inputs = {modality.name: _noise(modality, self.batch, generator) for modality in self.resolved.modalities}
        draws = Draws.of(keys, epochs=[0] * self.batch, seed=0)
        context = MaskContext(draws=draws, inputs=inputs, stored={}, lengths={})
        return Batch(
            keys=keys,
            visits=Visits(datasets=np.zeros_like(ids), ids=ids, epochs=np.zeros_like(ids)),
            inputs=inputs,
            lengths={},
            plans=plans_of(self.resolved.masking, context, self.resolved.modalities),
            stored={},
            labels=None,
            damage=(),
            step=0,
        ).to(self.on)


def _noise(modality: Modality, batch: int, generator: torch.Generator) -> Tensor:
    """Return what a modality renders to, without any sense."""
    match modality:
        case Image():
            shape: tuple[int, ...] = (batch, modality.channels, modality.size, modality.size)
        case Clip():
            shape = (batch, 3, modality.frames, modality.size, modality.size)
        case LogMel():
            features = torch.randn(batch, modality.frames, modality.bins, generator=generator)
            return features * modality.spread + modality.mean
        case _:
            raise NotImplementedError(f"Say in {__name__} what a batch holds of {modality}.")
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


class Ours:
    """Steps as `maskloom train` takes them, on a GPU with algorithms that can be repeated; the loss is not waited for."""

    def __init__(self, setup: Setup) -> None:
        self._device = setup.on
        self._taken = 0
        self.learner = Learner(
            setup.resolved,
            decoders={},
            schedule=WarmupCosine(peak=1e-4, minimum=0.0, warmup_epochs=0.0, epochs=1.0),
            steps_per_epoch=1e6,
            world=World(rank=0, size=1, device=self._device),
            seed=0,
            dtype=setup.dtype,
        )

    def step(self, batch: Batch) -> None:
        """Take one step."""
        make_repeatable(self._device)
        self.learner.step(batch, taken=self._taken)
        self._taken += 1
        torch.use_deterministic_algorithms(False)


def published(setup: Setup, batch: Batch, arm: str) -> ReferenceStep:
    """Return the steps of the published code with the attention of an arm."""
    return ReferenceStep(setup.resolved, batch, attend=ATTENTION[arm], device=setup.on, dtype=setup.dtype)


def peak_memory_mib(setup: Setup, arm: str) -> float:
    """Return the most memory that steps of an arm take, in MiB, measured in a process of its own.

    On a GPU, what torch has allocated there; on a CPU, how much resident memory grows after everything has been imported.
    Processes begin sooner if `multiprocessing.set_forkserver_preload` was told of this module.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as process:
        return process.submit(_peak_memory_mib, setup, arm).result()


def _peak_memory_mib(setup: Setup, arm: str) -> float:
    torch.set_num_threads(setup.threads)
    before = _resident_mib("VmRSS")
    batch = setup.ready_batch()
    step = _stepping(setup, batch, arm)
    for _ in range(_STEPS_OF_MEMORY):
        step()
    if setup.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return _resident_mib("VmHWM") - before


def _stepping(setup: Setup, batch: Batch, arm: str) -> Callable[[], None]:
    if arm == OURS:
        ours = Ours(setup)
        return lambda: ours.step(batch)
    return published(setup, batch, arm).step


def _resident_mib(entry: str) -> float:
    """Return resident memory now (VmRSS) or at most (VmHWM): that of `getrusage` counts the process that started this one."""
    found = re.search(rf"{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 2**10
