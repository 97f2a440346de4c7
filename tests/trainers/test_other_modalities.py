"""Recipes of clips, sound and clouds on a dataset that holds them: trained, resumed, evaluated, from shards alone."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import scenes
from tests.pipelines.many_kinds import Stored, everything, write_many_kinds
from tests.trainers.recipes.samples import small_settings
from tests.trainers.test_launch import assert_same_run, losses
from tests.trainers.test_several_modalities import evaluated
from trainers.launch import Request
from trainers.loop import Ending

Train = Callable[..., Ending]

RECIPES = {"video_mae": "video", "audio_mae": "logmel", "point_mae": "points"}
"""Recipes, and the modality that each learns from."""

FITTING = {"audio_mae": ("modalities.logmel.frames=256", "modalities.logmel.bins=64", "modalities.logmel.patch=16")}
"""Settings that fit the data; sounds of the scenes are shorter than these frames."""


def complete(stored: dict[str, Stored]) -> None:
    """Give the one sample that has only words what all others have."""
    if "video" not in stored:
        stored.update(everything(scenes.scene_for(0, 1), 48))


@pytest.fixture(scope="module")
def many_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_many_kinds(tmp_path_factory.mktemp("kinds") / "scenes", samples=120, change=complete).root


@pytest.fixture(params=RECIPES)
def request_of(request: pytest.FixtureRequest, asked: Request, many_kinds: Path) -> Request:
    """Four steps of a small version of each recipe."""
    fitting = FITTING.get(request.param, ())
    settings = (*small_settings(request.param), *fitting, "training.base_lr=0.005", "training.warmup_epochs=0")
    return replace(asked, recipe=request.param, settings=settings, data=(str(many_kinds),), epochs=None, steps=4)


def test_a_stopped_run_goes_on_bit_for_bit(
    request_of: Request, run_training: Train, stop_at: Callable[[int, int], None]
) -> None:
    whole = replace(request_of, out=request_of.out.with_name("whole"))
    run_training(whole, save_every=2)
    stop_at(3, signal.SIGTERM)
    run_training(request_of, save_every=2)
    run_training(request_of, save_every=2)
    assert len(losses(request_of)) == 4
    assert_same_run(whole, request_of)


def test_features_are_probed_and_what_was_hidden_is_drawn(
    request_of: Request, run_training: Train, many_kinds: Path
) -> None:
    run_training(request_of)
    found = evaluated(request_of.out, many_kinds)
    assert len(found["classification"]["scores"]) == 3
    (drawn,) = found["reconstructions"]
    assert drawn["modality"] == RECIPES[request_of.recipe]
    assert drawn["picture"] == f"scenes-{drawn['target']}.png"
    with Image.open(request_of.out / "eval" / drawn["picture"]) as picture:
        pixels = np.asarray(picture)
    assert pixels.std() > 10
    report = (request_of.out / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 1
    assert drawn["note"] in report
