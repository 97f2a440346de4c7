"""A run of a recipe that shares budgets of tokens out over pictures, their stored tokens and captions."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shards.errors import MissingTargetError
from tests.pipelines.many_kinds import write_many_kinds
from tests.trainers.recipes.samples import small_settings
from tests.trainers.test_launch import assert_same_run, losses
from tests.trainers.test_several_modalities import evaluated
from tests.trainers.test_stored_recipes import seal_all
from trainers.launch import Request
from trainers.loop import Ending
from trainers.registry import resolve_recipe

Train = Callable[..., Ending]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_many_kinds(tmp_path_factory.mktemp("kinds") / "scenes", samples=120).root


@pytest.fixture
def of_any(asked: Request, scenes: Path, tmp_path: Path) -> Request:
    """Four steps on a dataset of which one sample has nothing but its caption, with tokens sealed beside it."""
    data = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    settings = (*small_settings("four_m"), "training.batch=16", "training.base_lr=0.005", "training.warmup_epochs=0")
    seal_all(resolve_recipe("four_m", size="tiny", settings=settings), data)
    return replace(asked, recipe="four_m", settings=settings, data=(str(data),), epochs=None, steps=4)


def test_a_stopped_run_goes_on_bit_for_bit(
    of_any: Request, run_training: Train, stop_at: Callable[[int, int], None]
) -> None:
    whole = replace(of_any, out=of_any.out.with_name("whole"))
    run_training(whole, save_every=2)
    stop_at(3, signal.SIGTERM)
    run_training(of_any, save_every=2)
    run_training(of_any, save_every=2)
    assert len(losses(of_any)) == 4
    assert np.isfinite(losses(of_any)).all()
    assert_same_run(whole, of_any)


def test_a_run_is_evaluated_on_the_views_of_its_tokens(of_any: Request, run_training: Train) -> None:
    run_training(of_any)
    found = evaluated(of_any.out, Path(of_any.data[0]))
    assert {tuple(pair["between"]) for pair in found["retrieval"]} == {("image", "text")}
    assert "trained encoder, text alone" in found["classification"]["scores"]


def test_tokens_that_are_missing_are_told_with_the_command_that_makes_them(
    of_any: Request, run_training: Train
) -> None:
    shutil.rmtree(Path(of_any.data[0]) / "targets")
    with pytest.raises(MissingTargetError, match=r"--teacher tokens --size 32 .*--set tokenizer=RUN"):
        run_training(of_any)
    assert not of_any.out.exists()
