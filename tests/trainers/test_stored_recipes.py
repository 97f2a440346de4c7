"""Runs of recipes that learn from stored targets, on a small dataset with made-up targets sealed beside it."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.views import RandomResizedCrop, ViewSet
from shards.dataset import Dataset
from shards.errors import MissingTargetError
from shards.target_spec import Coding, TargetSpec
from shards.target_writer import seal_target, write_target_shard
from tests.trainers.recipes.samples import small_settings
from trainers.checkpoint import latest
from trainers.launch import Request
from trainers.loop import Ending
from trainers.metrics import read_metrics
from trainers.reads import StoredRead, stored_reads
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe
from trainers.run import RunFolder

Train = Callable[..., Ending]
STEPS = 4


def seal_all(recipe: Recipe, root: Path) -> None:
    """Seal what a recipe reads: noise around what tells samples apart, on random crops."""
    dataset = Dataset.open(root)
    for read in stored_reads(recipe):
        spec = spec_of(recipe, read)
        rng = np.random.default_rng(0)
        for shard in range(dataset.manifest.num_shards):
            blocks = []
            for start in range(0, dataset.shard_samples(shard), 64):
                keys = dataset.reader(shard).facts(start // 64, "key")
                shape = (len(keys), *spec.shape)
                views = [
                    rng.integers(0, spec.vocabulary, shape).astype(np.uint16)
                    if spec.vocabulary
                    else rng.random(shape).astype(np.float16)
                    for _ in range(spec.num_views)
                ]
                blocks.append((keys, views))
            write_target_shard(dataset, spec, shard, blocks)
        seal_target(dataset, spec, {})


def spec_of(recipe: Recipe, read: StoredRead) -> TargetSpec:
    target = next((target for target in recipe.targets if target.stored == read.reference.name), None)
    vocabulary = getattr(target or read.modality, "vocabulary", None)
    crop = RandomResizedCrop(size=recipe.picture_size, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
    return TargetSpec(
        teacher=read.reference.teacher,
        teacher_settings=read.reference.settings,
        weights_sha256=None,
        preprocessing="",
        views=ViewSet(policy=crop, count=2, seed=0).to_json(),
        shape=target.stored_shape(read.modality) if target else (read.modality.num_tokens,),
        coding=Coding(dtype="uint16" if vocabulary else "float16"),
        vocabulary=vocabulary,
        software={},
    )


def losses(asked: Request) -> list[float]:
    return [record["loss"] for record in read_metrics(RunFolder(asked.out).metrics)]


@pytest.fixture
def of_recipe(asked: Request, tmp_path: Path) -> Callable[[str], Request]:
    """Return the request of a run of a few steps of a recipe, with everything sealed that it reads."""

    def prepare(name: str) -> Request:
        settings = (*small_settings(name), "training.batch=16", "training.base_lr=0.005", "training.warmup_epochs=0")
        data = Path(shutil.copytree(asked.data[0], tmp_path / "stored"))
        seal_all(resolve_recipe(name, size="tiny", settings=settings), data)
        return replace(asked, recipe=name, settings=settings, data=(str(data),), epochs=None, steps=STEPS)

    return prepare


@pytest.mark.parametrize("name", ["maskdistill", "beit_v2", "maskalign"])
def test_a_stopped_run_on_stored_targets_goes_on_bit_for_bit(
    of_recipe: Callable[[str], Request],
    run_training: Train,
    stop_at: Callable[[int, int], None],
    name: str,
) -> None:
    """With branches dropped at random, masks from stored scores, ids and features; views replayed."""
    whole = of_recipe(name)
    stopped = replace(whole, out=whole.out.with_name("stopped"))
    assert run_training(whole) == Ending(step=STEPS, signal=None)
    stop_at(2, signal.SIGTERM)
    assert run_training(stopped) == Ending(step=2, signal=signal.SIGTERM)
    assert run_training(stopped) == Ending(step=STEPS, signal=None)
    assert losses(stopped) == losses(whole)
    assert all(np.isfinite(losses(whole)))
    weights = [latest(RunFolder(asked.out).checkpoints) for asked in (whole, stopped)]
    assert weights[0] is not None
    assert weights[1] is not None
    assert all(torch.equal(value, weights[1].model[name]) for name, value in weights[0].model.items())


def test_the_card_tells_every_stored_target_by_its_name_in_the_recipe(
    of_recipe: Callable[[str], Request], run_training: Train
) -> None:
    asked = replace(of_recipe("maskalign"), steps=1)
    run_training(asked)
    recorded = RunFolder(asked.out).card().stored
    recipe = resolve_recipe("maskalign", size="tiny", settings=asked.settings)
    assert set(recorded) == set(recipe.stored_targets())
    assert len({entry["target_id"] for entry in recorded.values()}) == 6


def test_nothing_is_made_where_a_stored_target_is_missing(
    of_recipe: Callable[[str], Request], run_training: Train
) -> None:
    asked = of_recipe("maskdistill")
    shutil.rmtree(Path(asked.data[0]) / "targets")
    with pytest.raises(MissingTargetError, match="--teacher clip --size 32"):
        run_training(asked)
    assert not asked.out.exists()
