"""How long a run is."""

import pytest

from shards.errors import SettingsError
from trainers.recipe import Training
from trainers.run import flatten, plot_course

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
    course = plot_course(TRAINING, steps_per_epoch=10)
    assert course.total_steps == 8000
    assert (course.schedule.epochs, course.schedule.warmup_epochs) == (800.0, 40.0)
    assert course.schedule.peak == pytest.approx(3e-4)


def test_another_length_takes_the_warmup_in_proportion() -> None:
    by_epochs = plot_course(TRAINING, steps_per_epoch=10, epochs=20.0)
    by_steps = plot_course(TRAINING, steps_per_epoch=10, steps=200)
    assert by_epochs == by_steps
    assert by_epochs.schedule.warmup_epochs == 1.0


def test_steps_are_met_exactly_and_end_at_the_lowest_rate() -> None:
    course = plot_course(TRAINING, steps_per_epoch=7, steps=100)
    assert course.total_steps == 100
    assert course.schedule.at(100 / 7) == 0.0


def test_senseless_lengths_are_refused() -> None:
    with pytest.raises(SettingsError, match="Give one of them"):
        plot_course(TRAINING, steps_per_epoch=10, epochs=1.0, steps=1)
    with pytest.raises(SettingsError, match="has no step"):
        plot_course(TRAINING, steps_per_epoch=10, epochs=0.01)
    short = Training(**{**TRAINING.__dict__, "epochs": 40})
    with pytest.raises(SettingsError, match="Use --epochs 40"):
        plot_course(short, steps_per_epoch=10)


def test_flattened_trees_name_every_leaf() -> None:
    tree = {"a": {"b": [1, {"c": None}]}, "d": "x"}
    assert dict(flatten(tree)) == {"a.b.0": 1, "a.b.1.c": None, "d": "x"}
