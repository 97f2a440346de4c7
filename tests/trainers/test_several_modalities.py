"""Runs of recipes of several modalities, from shards alone: trained, resumed, on datasets that lack a field, evaluated."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import maskloom
from examples import scenes as scenes_of
from shards.errors import MissingFieldError
from tests.pipelines.many_kinds import Stored, everything, write_many_kinds
from tests.trainers.recipes.samples import small_settings
from tests.trainers.test_launch import assert_same_run, losses
from trainers.launch import Request
from trainers.loop import Ending

Train = Callable[..., Ending]

RECIPES = {
    "m3ae": (),
    "multi_mae": ("modalities.segmentation.stride=4",),
    "cav_mae": ("modalities.logmel.frames=256", "modalities.logmel.bins=64", "modalities.logmel.patch=16"),
}
"""Recipes, and settings that fit the data."""


FIELDS = {"image": "image", "video": "frames", "logmel": "logmel", "text": "text", "label": "label"}
FIELDS |= {"depth": "raster", "segmentation": "ids"}


def write(folder: Path, *lacking: str, samples: int = 96) -> Path:
    """Write scenes without some fields; one of them has nothing but its caption, or all else if there are no captions."""
    held = {name: kind for name, kind in FIELDS.items() if name not in lacking}

    def change(stored: dict[str, Stored]) -> None:
        if "text" in lacking and "image" not in stored:
            stored.update(everything(scenes_of.scene_for(0, 1), 48))
        for name in set(stored) - set(held):
            del stored[name]

    return write_many_kinds(folder, samples=samples, fields=held, change=change).root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("several") / "scenes")


@pytest.fixture(params=RECIPES)
def request_of(request: pytest.FixtureRequest, asked: Request, scenes: Path) -> Request:
    """Four steps of a small version of each recipe, on scenes of which one has nothing but its caption."""
    return of_recipe(request.param, asked, scenes)


def of_recipe(name: str, asked: Request, *data: Path) -> Request:
    settings = (
        *small_settings(name),
        *RECIPES[name],
        "training.batch=16",
        "training.base_lr=0.005",
        "training.warmup_epochs=0",
    )
    return replace(asked, recipe=name, settings=settings, data=tuple(map(str, data)), epochs=None, steps=4)


def test_a_stopped_run_goes_on_bit_for_bit(
    request_of: Request, run_training: Train, stop_at: Callable[[int, int], None]
) -> None:
    whole = replace(request_of, out=request_of.out.with_name("whole"))
    run_training(whole, save_every=2)
    stop_at(3, signal.SIGTERM)
    run_training(request_of, save_every=2)
    run_training(request_of, save_every=2)
    assert len(losses(request_of)) == 4
    assert np.isfinite(losses(request_of)).all()
    assert_same_run(whole, request_of)


def evaluated(run: Path, data: Path) -> dict[str, Any]:
    options = ["--data", str(data), "--workers", "0", "--device", "cpu"]
    result = CliRunner().invoke(maskloom.app, ["eval", str(run), *options])
    assert result.exit_code == 0, result.output
    (path,) = (run / "eval").glob("*.json")
    return dict(json.loads(path.read_text()))


def test_each_modality_is_probed_alone_and_looked_for_by_the_others(
    request_of: Request, run_training: Train, scenes: Path
) -> None:
    run_training(request_of)
    found = evaluated(request_of.out, scenes)
    several = {"m3ae": 2, "multi_mae": 3, "cav_mae": 2}[request_of.recipe]
    assert len(found["classification"]["scores"]) == 2 + 2 * several + several
    assert len(found["retrieval"]) == several * (several - 1) // 2
    for pair in found["retrieval"]:
        assert {"trained encoder", "same encoder, random weights", "as they are"} == set(pair["scores"])
        assert pair["train_samples"] + pair["test_samples"] == 95  # one scene has nothing but its caption
    drawn = {one["target"]: one for one in found["reconstructions"]}
    assert all("picture" in one or "guesses" in one for one in drawn.values()), drawn
    assert "Found across modalities" in (request_of.out / "report.html").read_text()


def test_pictures_without_captions_and_captions_without_pictures_are_learned_from_too(
    asked: Request, scenes: Path, run_training: Train, tmp_path: Path
) -> None:
    pictures = write(tmp_path / "pictures", "text", samples=16)
    captions = write(tmp_path / "captions", "image", samples=16)
    mixed = of_recipe("m3ae", asked, scenes, pictures, captions)
    run_training(mixed)
    rows = [json.loads(line) for line in (mixed.out / "metrics.jsonl").read_text().splitlines()]
    assert all(row["loss/pixels"] > 0 and row["loss/text"] > 0 for row in rows)


def test_a_recipe_of_fields_that_no_dataset_has_is_refused(asked: Request, run_training: Train, tmp_path: Path) -> None:
    pictures = write(tmp_path / "pictures", "text", samples=16)
    with pytest.raises(MissingFieldError, match="reads field 'text'"):
        run_training(of_recipe("m3ae", asked, pictures))
