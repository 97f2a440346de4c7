"""Starting a training: from names and numbers on a command line to a loop that runs, or goes on where it stopped."""

import logging
import platform
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from pipelines.component import Component
from pipelines.damage import DamageLedger, RaiseOnDamage, SubstituteDamaged
from pipelines.device.choice import DeviceChoice, Precision, PrecisionChoice, pick_precision, precision_dtype
from pipelines.device.copy import OnDevice
from pipelines.loading import loading_by, worker_deaths
from pipelines.state import StreamState
from pipelines.stream import Share, Stream, steps_per_epoch
from pipelines.target_coding import decoder_of
from pipelines.views import ViewSet
from trainers.checking import check
from trainers.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointWriter,
    Progress,
    discard_unfinished,
    latest,
    restore,
    take,
)
from trainers.interruption import StopRequest
from trainers.loop import Ending, Ledger, Loop, Pace
from trainers.metrics import JsonLines, LiveProgress, Metrics, PlainLines, Sink, TensorBoard
from trainers.mixture import open_mixture, record_datasets
from trainers.models.vq_autoencoder import VqAutoencoder
from trainers.parallel import World, await_all, join_world, make_repeatable
from trainers.recipe import Recipe
from trainers.registry import resolve_typed_recipe
from trainers.report.page import build_report
from trainers.run import Course, RunFolder, card_id, plot_course
from trainers.run_card import RunCard, software_versions
from trainers.sizes import SLOW_ON_CPU
from trainers.step import Learner
from trainers.stored import record_stored
from trainers.tokenizer_export import write_tokenizer

logger = logging.getLogger(__name__)

LOG_EVERY_ON_GPU = 10
DecodeChoice = Literal["cpu", "device"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for: the run itself."""

    recipe: str
    size: str
    settings: tuple[str, ...]
    seed: int
    data: tuple[str, ...]
    weights: tuple[str, ...]
    out: Path
    epochs: float | None
    steps: int | None
    precision: PrecisionChoice


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to carry it out on this machine: changes speed and memory, not what is learned.

    With `decode` "device", JPEG files are decoded where the network is, which changes pixels by a few levels. Up to
    `damage_budget` damaged samples are replaced by others; with 0, the first one is an error.
    """

    device: DeviceChoice
    workers: int
    threads: int
    decode: DecodeChoice
    damage_budget: int
    accumulate: int
    save_every: int
    log_every: int | None
    compile: bool


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that may start: checked against its dataset, its folder there, with the checkpoint to go on from."""

    run: RunFolder
    card: RunCard
    recipe: Recipe
    course: Course
    components: tuple[Component, ...]
    precision: Precision
    checkpoint: Checkpoint | None

    @property
    def first(self) -> int:
        """Steps already taken."""
        return self.checkpoint.progress.step if self.checkpoint else 0


def train_run(request: Request, manner: Manner, *, fresh: bool, console: Console) -> Ending:
    """Train a run to its end, resuming it if its folder holds one; returns early when asked to stop.

    Raises:
        MaskloomError: anything that keeps the run from starting or going on, before a GPU is touched where possible.
    """
    with join_world(manner.device) as world:
        prepared = _prepare(request, world, fresh=fresh)
        if prepared.first >= prepared.course.total_steps:
            _write_tokenizer(prepared, world)
            return Ending(step=prepared.first, signal=None)
        _warn_if_slow(request, world)
        make_repeatable(world.device)
        with StopRequest() as stop:
            ending = _train(prepared, manner, world, stop, console)
        if ending.signal is None:
            _write_tokenizer(prepared, world)
        if world.is_first:
            build_report(prepared.run)
        return ending


def _write_tokenizer(prepared: Prepared, world: World) -> None:
    """Write the file of a complete run whose recipe trains a tokenizer."""
    if world.is_first and isinstance(prepared.recipe.model, VqAutoencoder):
        write_tokenizer(prepared.run, prepared.recipe)


def _prepare(request: Request, world: World, *, fresh: bool) -> Prepared:
    run = RunFolder(request.out)
    recorded = run.card() if run.exists() and not fresh else None
    recipe = resolve_typed_recipe(request.recipe, size=request.size, settings=request.settings)
    components = open_mixture(request.data, request.weights, recipe, recorded.stored if recorded else {})
    check(recipe, components)
    precision = _precision(request, world, recorded)
    card = RunCard.of(
        request.recipe,
        size=request.size,
        settings=request.settings,
        seed=request.seed,
        datasets=record_datasets(request.data, components),
        stored=record_stored(components[0].stored),
        precision=precision,
    )
    course = plot_course(
        recipe.training,
        steps_per_epoch=steps_per_epoch(
            [component.dataset for component in components], global_batch=recipe.training.batch
        ),
        epochs=request.epochs,
        steps=request.steps,
    )
    if world.is_first:
        _open_folder(run, card, course, fresh=fresh)
    await_all(world)
    checkpoint = latest(run.checkpoints)
    _require_own(checkpoint, card_id(card, course), run)
    return Prepared(
        run=run,
        card=card,
        recipe=recipe,
        course=course,
        components=components,
        precision=precision,
        checkpoint=checkpoint,
    )


def _precision(request: Request, world: World, recorded: RunCard | None) -> Precision:
    """What was asked for; `auto` keeps that of the run there is, which may go on on another device."""
    if request.precision == "auto" and recorded is not None and recorded.precision is not None:
        return recorded.precision
    return pick_precision(request.precision, world.device)


def _warn_if_slow(request: Request, world: World) -> None:
    if world.is_first and world.device.type == "cpu" and request.size in SLOW_ON_CPU:
        logger.warning(
            "training size '%s' on a CPU takes months; to try things out, give --size tiny and another --out",
            request.size,
        )


def _open_folder(run: RunFolder, card: RunCard, course: Course, *, fresh: bool) -> None:
    if fresh:
        run.clear()
    if not run.exists():
        run.create(card, course)
        return
    run.require_same(card, course)
    discard_unfinished(run.checkpoints)
    recorded, present = run.card().versions, software_versions()
    changed = [f"{name} {was} -> {present.get(name)}" for name, was in recorded.items() if present.get(name) != was]
    if changed:
        logger.warning("resuming with other software than the run began with: %s", ", ".join(changed))


def _require_own(checkpoint: Checkpoint | None, own: str, run: RunFolder) -> None:
    if checkpoint is not None and checkpoint.progress.card_id != own:
        raise CheckpointError(
            f"The checkpoint of step {checkpoint.progress.step} in {run.checkpoints} belongs to run "
            f"{checkpoint.progress.card_id}, this one is {own}. Was it copied there? Remove it, or use --fresh."
        )


def _train(prepared: Prepared, manner: Manner, world: World, stop: StopRequest, console: Console) -> Ending:
    learner = _learner(prepared, manner, world)
    stream = _stream(prepared, manner, world)
    if prepared.checkpoint is not None and prepared.checkpoint.progress.stream is not None:
        restore(prepared.checkpoint, learner.network, learner.optimiser)
        stream.resume(StreamState.from_json(prepared.checkpoint.progress.stream))
    if manner.compile:
        learner.compile()
    own = card_id(prepared.card, prepared.course)
    with ExitStack() as stack:
        writer = stack.enter_context(CheckpointWriter(prepared.run.checkpoints))
        metrics = stack.enter_context(Metrics(_sinks(prepared, world, console)))

        def save(step: int, state: StreamState) -> None:
            if world.is_first:
                progress = Progress(step=step, card_id=own, stream=state.to_json())
                writer.save(take(learner.network, learner.optimiser, progress))

        stack.callback(stream.close)
        if world.is_first:
            prepared.run.note_start(_start(prepared, manner, world))
        stack.enter_context(worker_deaths())
        return Loop(
            learner,
            OnDevice(stream, world.device),
            first=prepared.first,
            pace=_pace(prepared, manner, world),
            ledger=Ledger(learner.terms, steps_per_epoch=prepared.course.steps_per_epoch, world=world),
            world=world,
            metrics=metrics,
            save=save,
            stop=stop,
        ).run()


def _learner(prepared: Prepared, manner: Manner, world: World) -> Learner:
    return Learner(
        prepared.recipe,
        decoders={name: decoder_of(table) for name, table in prepared.components[0].stored.items()},
        schedule=prepared.course.schedule,
        steps_per_epoch=prepared.course.steps_per_epoch,
        world=world,
        seed=prepared.card.seed,
        dtype=precision_dtype(prepared.precision),
        accumulate=manner.accumulate,
    )


def _stream(prepared: Prepared, manner: Manner, world: World) -> Stream:
    recipe, seed = prepared.recipe, prepared.card.seed
    stored = prepared.components[0].stored
    recorded = [ViewSet.from_json(table.spec.views) for table in stored.values()]
    return Stream(
        prepared.components,
        views=[recorded[0] if recorded else recipe.fresh_views()] * recipe.num_looks,
        masking=recipe.masking,
        modalities=recipe.modalities,
        global_batch=recipe.training.batch,
        seed=seed,
        share=Share(rank=world.rank, world_size=world.size),
        damage=SubstituteDamaged(seed=seed) if manner.damage_budget else RaiseOnDamage(),
        ledger=_ledger(prepared.run, world, budget=manner.damage_budget),
        loading=loading_by(workers=manner.workers, threads=manner.threads),
        encoded=[modality.name for modality in recipe.modalities] if manner.decode == "device" else (),
        pin_memory=world.device.type == "cuda",
    )


def _ledger(run: RunFolder, world: World, *, budget: int) -> DamageLedger:
    """The ledger of this rank, which knows what all ranks have written down before."""
    own = run.damage(world.rank)
    return DamageLedger(own, budget=budget, others=[path for path in run.damage_files() if path != own])


def _pace(prepared: Prepared, manner: Manner, world: World) -> Pace:
    log_every = manner.log_every or (LOG_EVERY_ON_GPU if world.device.type == "cuda" else 1)
    return Pace(total_steps=prepared.course.total_steps, save_every=manner.save_every, log_every=log_every)


def _sinks(prepared: Prepared, world: World, console: Console) -> list[Sink]:
    """Rank 0 writes; the others keep quiet."""
    if not world.is_first:
        return []
    last, total = prepared.first, prepared.course.total_steps
    live = console.is_terminal
    return [
        JsonLines(prepared.run.metrics, last_step=last),
        TensorBoard(prepared.run.tensorboard, last_step=last, every=10),
        LiveProgress(console, last_step=last, total=total) if live else PlainLines(console, total=total),
    ]


def _start(prepared: Prepared, manner: Manner, world: World) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": prepared.first,
        "hardware": hardware(world.device),
        "processes": world.size,
        "precision": prepared.precision,
        "accumulate": manner.accumulate,
        "workers": manner.workers,
        "threads": manner.threads,
        "decode": manner.decode,
        "damage_budget": manner.damage_budget,
        "torch_threads": torch.get_num_threads(),
        "versions": software_versions(),
    }


def hardware(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
