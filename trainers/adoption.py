"""A run made of published weights: it can be evaluated and read like one that was trained here."""

from pathlib import Path

from trainers.checkpoint import Checkpoint, Progress, discard_unfinished, listing, write
from trainers.published.choice import naming_of
from trainers.published.naming import Part
from trainers.published.reading import read_checkpoint
from trainers.report.page import build_report
from trainers.run import RunFolder, RunMismatchError
from trainers.run_card import RunCard

SEED = 0
"""Initialises what the file does not hold, and the untrained network that evaluation compares with."""


def adopt_weights(
    recipe: str, weights: Path, out: Path, *, size: str, settings: tuple[str, ...], part: Part
) -> RunFolder:
    """Make the folder of a run at step 0 whose network has the weights of a file.

    Raises:
        SettingsError: the recipe's network is of another kind than the weights that can be read.
        WeightsError: the file does not hold the weights of this network.
        RunMismatchError: `out` is not empty, but for what an interrupted import of the same left there.
        StorageError: `out` cannot be written.
    """
    card = RunCard.of(recipe, size=size, settings=settings, seed=SEED)
    network = card.rebuild(typed=recipe).network(seed=SEED)
    naming_of(recipe, network).load(read_checkpoint(weights), network, part=part)
    run = RunFolder(out)
    _open_folder(run, card)
    progress = Progress(step=0, card_id="", stream=None)
    write(run.checkpoints, Checkpoint(progress=progress, model=network.state_dict(), optimiser={}))
    build_report(run)
    return run


def _open_folder(run: RunFolder, card: RunCard) -> None:
    """Begin a run, or go on where an import of the same recipe was interrupted before its weights were written."""
    if not run.exists():
        run.create(card, None)
        return
    if listing(run.checkpoints):
        raise RunMismatchError(f"{run.root} holds a run already. Choose another --out.")
    run.require_same(card, None)
    discard_unfinished(run.checkpoints)
