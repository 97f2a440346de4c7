"""How long a run is, and what its folder survives."""

import shutil
from pathlib import Path

import pytest

import trainers.run
from shards.errors import SettingsError, StorageError
from trainers.recipe import Training
from trainers.run import RunFolder, RunMismatchError, flatten, plot_course
from trainers.run_card import RunCard, RunCardError

TRAINING = Training(
    batch=512,
    epochs=800,
    warmup_epochs=40,
    base_lr=1.5e-4,
    min_lr=0.0,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    clip_norm=None,
)


def test_recipe_decides_the_length_if_nobody_else_does() -> None:
    course = plot_course(TRAINING, steps_per_epoch=10.0)
    assert course.total_steps == 8000
    assert (course.schedule.epochs, course.schedule.warmup_epochs) == (800.0, 40.0)
    assert course.schedule.peak == pytest.approx(3e-4)


def test_another_length_takes_the_warmup_in_proportion() -> None:
    by_epochs = plot_course(TRAINING, steps_per_epoch=10.0, epochs=20.0)
    by_steps = plot_course(TRAINING, steps_per_epoch=10.0, steps=200)
    assert by_epochs == by_steps
    assert by_epochs.schedule.warmup_epochs == 1.0


def test_steps_are_met_exactly_and_end_at_the_lowest_rate() -> None:
    course = plot_course(TRAINING, steps_per_epoch=7.0, steps=100)
    assert course.total_steps == 100
    assert course.schedule.at(100 / 7) == 0.0


def test_senseless_lengths_are_refused() -> None:
    with pytest.raises(SettingsError, match="Give one of them"):
        plot_course(TRAINING, steps_per_epoch=10.0, epochs=1.0, steps=1)
    with pytest.raises(SettingsError, match="has no step"):
        plot_course(TRAINING, steps_per_epoch=10.0, epochs=0.01)
    short = Training(**{**TRAINING.__dict__, "epochs": 40})
    with pytest.raises(SettingsError, match="Use --epochs 40"):
        plot_course(short, steps_per_epoch=10.0)


def test_flattened_trees_name_every_leaf() -> None:
    tree = {"a": {"b": [1, {"c": None}]}, "d": "x"}
    assert dict(flatten(tree)) == {"a.b.0": 1, "a.b.1.c": None, "d": "x"}


CARD = RunCard.of("mae", size="tiny", settings=(), seed=0)
COURSE = plot_course(TRAINING, steps_per_epoch=10.0)


class PowerCutError(BaseException):
    pass


def cut_power(*_: object, **__: object) -> None:
    raise PowerCutError


@pytest.mark.parametrize("at", ["schedule", "card"])
def test_a_run_whose_beginning_was_interrupted_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    run = RunFolder(tmp_path / "run")
    if at == "schedule":
        monkeypatch.setattr(trainers.run, "replace_file", cut_power)
    else:
        monkeypatch.setattr(RunCard, "save", cut_power)
    with pytest.raises(PowerCutError):
        run.create(CARD, COURSE)
    monkeypatch.undo()
    assert not run.exists()
    run.create(CARD, COURSE)
    run.require_same(CARD, COURSE)


def test_checkpoints_without_a_card_are_not_taken_for_an_interrupted_beginning(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (run.checkpoints / "mine").mkdir(parents=True)
    with pytest.raises(RunMismatchError, match="is not empty and holds no run"):
        run.create(CARD, COURSE)


def test_clearing_that_was_interrupted_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path / "run")
    run.create(CARD, COURSE)
    run.note_start({"step": 0})
    unlink = Path.unlink
    removed: list[str] = []

    def unlink_then_die(path: Path, missing_ok: bool = False) -> None:
        if path.name == "run.json":
            raise PowerCutError
        removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_then_die)
    with pytest.raises(PowerCutError):
        run.clear()
    monkeypatch.undo()
    assert "schedule.json" in removed
    run.clear()
    assert list(run.root.iterdir()) == []


def test_what_cannot_be_removed_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path / "run")
    run.create(CARD, COURSE)

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        run.clear()
    assert run.exists()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match="Cannot write"):
            RunFolder(root).create(CARD, COURSE)


def test_a_torn_schedule_says_how_to_go_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create(CARD, COURSE)
    (tmp_path / "schedule.json").write_text('{"total')
    with pytest.raises(RunCardError, match=r"schedule\.json cannot be understood.*--fresh"):
        run.course()
