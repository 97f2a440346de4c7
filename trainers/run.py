"""The folder of a run: what is in it, how it starts, and when it may be continued.

A run lies in one folder:

    RUN/run.json          RunCard: recipe, size, settings, seed, dataset, versions, all resolved
        schedule.json     how long, and the learning rate over that time; absent for imported weights
        starts.jsonl      one line each time training was started or resumed: when, from where, on what hardware
        metrics.jsonl     one line per optimiser step
        damage-0.jsonl    one line per damaged sample that rank 0 has met; absent where there was none
        tensorboard/      the same for TensorBoard
        checkpoints/      see `trainers.checkpoint`
        eval/             results of `maskloom eval` as JSON and pictures
        report.html       all of it on one page
        tokenizer.safetensors   of a run that trained one; see `pipelines.tokenizers.vq.file`
        tmp/              files that are being written

`run.json` is the first and the last: it is written when the rest of the folder stands, and removed after it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from pipelines.json_lines import append_line, complete_lines
from pipelines.tokenizers.vq.file import FILE_NAME as TOKENIZER
from shards.errors import MaskloomError, SettingsError
from shards.storage import TEMPORARY, replace_file, storage_errors
from trainers.recipe import Training
from trainers.run_card import RUN_CARD, RunCard, RunCardError
from trainers.schedule import WarmupCosine, scaled_rate

SCHEDULE, STARTS, METRICS, REPORT = "schedule.json", "starts.jsonl", "metrics.jsonl", "report.html"
TENSORBOARD, CHECKPOINTS, EVAL, DAMAGE = "tensorboard", "checkpoints", "eval", "damage"


class RunMismatchError(MaskloomError):
    """A folder holds another run than the one that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long a run takes and its learning rate on the way; part of what the run is, so it never changes."""

    total_steps: int
    steps_per_epoch: float
    schedule: WarmupCosine


def plot_course(
    training: Training, *, steps_per_epoch: float, epochs: float | None = None, steps: int | None = None
) -> Course:
    """Lay out a run of `epochs` or of `steps`, or else of the recipe's own number of epochs.

    A length that is not the recipe's takes the recipe's warm-up in proportion.

    Raises:
        SettingsError: both lengths are given, the length is not positive, or the warm-up would not end before the run.
    """
    if epochs is not None and steps is not None:
        raise SettingsError(f"--epochs {epochs:g} and --steps {steps} both say how long to train. Give one of them.")
    wanted = steps / steps_per_epoch if steps is not None else epochs if epochs is not None else training.epochs
    total_steps = round(wanted * steps_per_epoch)
    if total_steps < 1:
        raise SettingsError(f"A training of {wanted:g} epochs has no step ({steps_per_epoch:g} steps per epoch).")
    if training.warmup_epochs >= training.epochs:
        raise SettingsError(
            f"The warm-up of {training.warmup_epochs} epochs does not end before the training of {training.epochs}. "
            f"Use --epochs {training.epochs} instead of --set training.epochs, which shortens the warm-up in "
            "proportion, or also --set training.warmup_epochs."
        )
    exact = total_steps / steps_per_epoch
    schedule = WarmupCosine(
        peak=scaled_rate(training.base_lr, training.batch),
        minimum=scaled_rate(training.min_lr, training.batch),
        warmup_epochs=training.warmup_epochs * exact / training.epochs,
        epochs=exact,
    )
    return Course(total_steps=total_steps, steps_per_epoch=steps_per_epoch, schedule=schedule)


@dataclass(frozen=True)
class RunFolder:
    """Where the parts of a run lie."""

    root: Path

    @property
    def metrics(self) -> Path:
        """One JSON object per optimiser step."""
        return self.root / METRICS

    def damage(self, rank: int) -> Path:
        """One JSON object per damaged sample that a rank has met."""
        return self.root / f"{DAMAGE}-{rank}.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard events."""
        return self.root / TENSORBOARD

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.root / CHECKPOINTS

    @property
    def evaluations(self) -> Path:
        """Results of `maskloom eval`."""
        return self.root / EVAL

    @property
    def report(self) -> Path:
        """The page about this run."""
        return self.root / REPORT

    def exists(self) -> bool:
        """Whether there is a run in the folder."""
        return (self.root / RUN_CARD).is_file()

    def card(self) -> RunCard:
        """The run card; raises RunCardError if there is none."""
        return RunCard.load(self.root)

    def course(self) -> dict[str, Any] | None:
        """The recorded course as JSON, or None for a run that was never trained here.

        Raises:
            RunCardError: it cannot be understood.
        """
        path = self.root / SCHEDULE
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise RunCardError(f"{path} cannot be understood: {error}. Start the run over with --fresh.") from error

    def starts(self) -> list[dict[str, Any]]:
        """What is known of every start, oldest first; an unfinished last line is left out."""
        return [start for _, start in complete_lines(self.root / STARTS)]

    def damaged_samples(self) -> Iterator[dict[str, Any]]:
        """Yield what is written down about damaged samples, over all ranks."""
        for path in self.damage_files():
            yield from (sample for _, sample in complete_lines(path))

    def damage_files(self) -> list[Path]:
        """Return the files of damaged samples of all ranks."""
        return sorted(self.root.glob(f"{DAMAGE}-*.jsonl"))

    def note_start(self, start: Mapping[str, Any]) -> None:
        """Add a line about a start; raises StorageError if it cannot be written."""
        append_line(self.root / STARTS, start)

    def create(self, card: RunCard, course: Course | None) -> None:
        """Begin a run in an empty or missing folder, or in one where beginning was interrupted.

        Raises:
            RunMismatchError: the folder holds something else.
            StorageError: the folder cannot be written.
        """
        with storage_errors(self.root):
            if self._holds_something_else():
                raise RunMismatchError(
                    f"{self.root} is not empty and holds no run ({RUN_CARD} is missing). Choose another --out."
                )
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        if course is not None:
            replace_file(self.root, self.root / SCHEDULE, (json.dumps(asdict(course), indent=2) + "\n").encode())
        card.save(self.root)

    def _holds_something_else(self) -> bool:
        """Whether there is more in the folder than `create` leaves when it is interrupted."""
        found = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
        used = self.checkpoints.is_dir() and any(self.checkpoints.iterdir())
        return used or not found <= {TEMPORARY, CHECKPOINTS, SCHEDULE}

    def clear(self) -> None:
        """Remove the run, and nothing that does not belong to one.

        Interrupted, it leaves a run that can be cleared again, or trained from wherever it stands.

        Raises:
            StorageError: the folder cannot be written.
        """
        if not self.exists():
            return
        with storage_errors(self.root):
            for name in (CHECKPOINTS, TENSORBOARD, EVAL, TEMPORARY):
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)
            for path in self.damage_files():
                path.unlink()
            for name in (METRICS, STARTS, REPORT, TOKENIZER, SCHEDULE, RUN_CARD):
                (self.root / name).unlink(missing_ok=True)

    def require_same(self, card: RunCard, course: Course | None) -> None:
        """Refuse to continue another run.

        Raises:
            RunMismatchError: naming every difference between what is in the folder and what is asked for.
        """
        recorded = dict(flatten(identity(self.card(), self.course())))
        asked = dict(flatten(identity(card, asdict(course) if course else None)))
        names = [name for name in dict.fromkeys((*recorded, *asked)) if recorded.get(name) != asked.get(name)]
        if names:
            found = "; ".join(f"{name} is {recorded.get(name)!r} there, {asked.get(name)!r} here" for name in names)
            raise RunMismatchError(
                f"{self.root} holds another run: {found}. "
                "Give the same settings to resume it, another --out for a new run, or --fresh to start this one over."
            )


def identity(card: RunCard, course: Mapping[str, Any] | None) -> dict[str, Any]:
    """What must be equal for two runs to be the same one; where the dataset lies and software versions are not."""
    return {
        "recipe": card.recipe,
        "size": card.size,
        "seed": card.seed,
        "datasets": [[record.name, record.dataset_id, record.weight] for record in card.datasets],
        "stored": card.stored,
        "precision": card.precision,
        "settings": card.resolved,
        "course": course,
    }


def card_id(card: RunCard, course: Course) -> str:
    """A short name of a run's identity, which ties checkpoints to it."""
    return xxhash.xxh3_64_hexdigest(json.dumps(identity(card, asdict(course)), sort_keys=True).encode())


def flatten(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of a JSON tree with their dotted paths."""
    if isinstance(tree, Mapping):
        parts = [(str(name), part) for name, part in tree.items()]
    elif isinstance(tree, list | tuple):
        parts = [(str(place), part) for place, part in enumerate(tree)]
    else:
        yield path, tree
        return
    for name, part in parts:
        yield from flatten(part, f"{path}.{name}" if path else name)
