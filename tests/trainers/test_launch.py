"""Whole runs: started, stopped, killed, resumed, shared between processes."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.views import CenterCrop, ViewSet
from shards.dataset import Dataset
from shards.errors import MaskloomError, SettingsError, StorageError
from shards.target_spec import Coding
from shards.target_table import TargetSpec
from shards.target_writer import seal_target, write_target_shard
from tests.trainers.conftest import tiny_run, train
from trainers.checkpoint import CheckpointError, latest, listing
from trainers.launch import Request
from trainers.loop import Ending
from trainers.metrics import Record, read_metrics
from trainers.run import RunFolder, RunMismatchError

Train = Callable[..., Ending]
STEPS = 12


def records(asked: Request) -> list[Record]:
    return list(read_metrics(RunFolder(asked.out).metrics))


def losses(asked: Request) -> list[float]:
    return [record["loss"] for record in records(asked)]


def weights(asked: Request) -> dict[str, torch.Tensor]:
    checkpoint = latest(RunFolder(asked.out).checkpoints)
    assert checkpoint is not None
    return dict(checkpoint.model)


def assert_same_run(one: Request, other: Request) -> None:
    assert losses(one) == losses(other)
    assert all(torch.equal(weights(one)[name], value) for name, value in weights(other).items())


def command(asked: Request, *options: str) -> list[str]:
    settings = [word for setting in asked.settings for word in ("--set", setting)]
    names = ["train", asked.recipe, "--data", asked.data[0], "--out", str(asked.out), "--size", asked.size]
    numbers = ["--seed", str(asked.seed), "--epochs", str(asked.epochs), "--device", "cpu", "--save-every", "4"]
    return ["-m", "maskloom", *names, *numbers, *settings, *options]


def environment() -> dict[str, str]:
    """The same number of threads: it decides the order of sums."""
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(Path.cwd())}


@pytest.fixture(scope="module")
def whole(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A run that nothing interrupted; do not write into its folder."""
    asked = tiny_run(labelled, tmp_path_factory.mktemp("whole") / "run")
    train(asked)
    return asked


def test_a_run_learns_and_leaves_what_it_promises(asked: Request, run_training: Train) -> None:
    ending = run_training(asked)
    assert ending == Ending(step=STEPS, signal=None)
    found = records(asked)
    assert [record["step"] for record in found] == list(range(1, STEPS + 1))
    assert found[-1]["loss"] < found[0]["loss"]
    assert found[-1]["epoch"] == STEPS / 6.25
    assert found[0]["lr"] == 0.0
    assert [path.name for path in listing(asked.out / "checkpoints")] == ["step-00000008", "step-00000012"]
    assert {path.name for path in asked.out.iterdir()} == {
        "run.json",
        "schedule.json",
        "starts.jsonl",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "report.html",
        "tmp",
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_bit_for_bit(
    asked: Request, whole: Request, run_training: Train, stop_at: Callable[[int, int], None], number: int
) -> None:
    stop_at(6, number)
    assert run_training(asked) == Ending(step=6, signal=number)
    assert len(losses(asked)) == 6
    assert run_training(asked, workers=1) == Ending(step=STEPS, signal=None)
    assert_same_run(whole, asked)


def test_a_killed_run_goes_on_bit_for_bit(asked: Request, whole: Request, run_training: Train) -> None:
    process = subprocess.Popen([sys.executable, *command(asked, "--workers", "0")], env=environment())
    path = RunFolder(asked.out).metrics
    while len(read_metrics(path)) < 7:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()
    written = len(losses(asked))
    found = latest(asked.out / "checkpoints")
    assert found is not None
    assert found.progress.step < STEPS
    assert run_training(asked).step == STEPS
    assert written >= 7
    assert_same_run(whole, asked)


def test_two_processes_reach_the_losses_of_one(asked: Request, whole: Request) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [sys.executable, *torchrun, *command(asked, "--workers", "0")],
        env={**environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert losses(asked) == pytest.approx(losses(whole), abs=1e-6)
    assert finished.stdout.count("step 12/12") == 1  # rank 0 speaks for all


def test_accumulation_changes_nothing_but_rounding(asked: Request, whole: Request, run_training: Train) -> None:
    run_training(asked, accumulate=4)
    assert losses(asked) == pytest.approx(losses(whole), abs=1e-6)
    assert [record["grad_norm"] for record in records(asked)] == pytest.approx(
        [record["grad_norm"] for record in records(whole)], rel=1e-4
    )


def test_parts_that_do_not_divide_the_batch_are_refused(asked: Request, run_training: Train) -> None:
    with pytest.raises(SettingsError, match="--accumulate 5 cannot cut this process's 16 samples"):
        run_training(asked, accumulate=5)


def test_a_finished_run_takes_no_more_steps(asked: Request, run_training: Train) -> None:
    run_training(asked)
    before = (asked.out / "metrics.jsonl").read_bytes()
    assert run_training(asked) == Ending(step=STEPS, signal=None)
    assert (asked.out / "metrics.jsonl").read_bytes() == before


def test_another_run_in_the_folder_is_refused_with_every_difference(asked: Request, run_training: Train) -> None:
    run_training(replace(asked, epochs=1.0))
    other = replace(asked, epochs=1.0, seed=4, settings=(*asked.settings, "training.base_lr=0.5"))
    with pytest.raises(RunMismatchError) as caught:
        run_training(other)
    assert "seed is 3 there, 4 here" in str(caught.value)
    assert "settings.training.base_lr is 0.005 there, 0.5 here" in str(caught.value)
    with pytest.raises(RunMismatchError, match=r"course\.total_steps is 6 there, 12 here"):
        run_training(asked)


def test_fresh_starts_over(asked: Request, run_training: Train) -> None:
    run_training(replace(asked, epochs=1.0, seed=9))
    run_training(asked, fresh=True)
    assert len(losses(asked)) == STEPS
    assert RunFolder(asked.out).card().seed == 3


def test_a_folder_with_other_things_in_it_is_left_alone(asked: Request, run_training: Train) -> None:
    asked.out.mkdir()
    (asked.out / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(RunMismatchError, match="is not empty and holds no run"):
            run_training(asked, fresh=fresh)
    assert (asked.out / "thesis.tex").read_text() == "years of work"


def test_a_checkpoint_of_another_run_is_refused(asked: Request, run_training: Train) -> None:
    other = replace(asked, out=asked.out.with_name("other"), seed=8)
    run_training(other)
    run_training(replace(asked, epochs=None, steps=4))
    (other.out / "checkpoints" / "step-00000012").rename(asked.out / "checkpoints" / "step-00000012")
    with pytest.raises(CheckpointError, match="belongs to run"):
        run_training(replace(asked, epochs=None, steps=4))


def test_nothing_is_written_when_the_recipe_does_not_fit(asked: Request, run_training: Train) -> None:
    with pytest.raises(MaskloomError):
        run_training(replace(asked, settings=(*asked.settings, "targets.patches.name=other")))
    assert not asked.out.exists()


def test_a_batch_larger_than_the_dataset_is_refused_before_anything_is_made(
    asked: Request, run_training: Train
) -> None:
    with pytest.raises(SettingsError, match=r"takes 101 samples per step, but .* holds only 100"):
        run_training(replace(asked, settings=(*asked.settings, "training.batch=101")))
    assert not asked.out.exists()


@pytest.mark.parametrize(("size", "warned"), [("tiny", False), ("base", True)])
def test_a_size_that_is_too_slow_for_a_cpu_is_warned_of(
    asked: Request, run_training: Train, caplog: pytest.LogCaptureFixture, size: str, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING, logger="trainers.launch"):
        run_training(replace(asked, size=size, epochs=None, steps=1))
    assert ("--size tiny" in caplog.text) == warned


def test_another_precision_is_refused_and_auto_keeps_that_of_the_run(asked: Request, run_training: Train) -> None:
    short = replace(asked, epochs=None, steps=1, precision="bf16")
    run_training(short)
    with pytest.raises(RunMismatchError, match="precision is 'bf16' there, 'fp32' here"):
        run_training(replace(short, precision="fp32"))
    assert run_training(replace(short, precision="auto")).step == 1
    assert RunFolder(asked.out).card().precision == "bf16"


def test_a_run_whose_last_lines_were_torn_goes_on(
    asked: Request, run_training: Train, stop_at: Callable[[int, int], None]
) -> None:
    stop_at(6, signal.SIGTERM)
    run_training(asked)
    for name in ("starts.jsonl", "metrics.jsonl"):
        with (asked.out / name).open("a") as file:
            file.write('{"step": 7, "at')
    assert run_training(asked) == Ending(step=STEPS, signal=None)
    assert [start["step"] for start in RunFolder(asked.out).starts()] == [0, 6]
    assert len(losses(asked)) == STEPS


def test_a_place_that_cannot_be_written_is_a_storage_error(asked: Request, run_training: Train) -> None:
    asked.out.touch()
    for out in (asked.out, asked.out / "run"):
        with pytest.raises(StorageError, match="Cannot write"):
            run_training(replace(asked, out=out))


STORED = (
    "modalities.image.size=32",
    "modalities.image.patch=8",
    "model.width=32",
    "model.depth=1",
    "model.heads=2",
    "training.batch=16",
    "targets.hog.source=stored",
)


def store_histograms(root: Path, *, seed: int) -> str:
    """Seal a stored target of noise, and return its id."""
    dataset = Dataset.open(root)
    spec = TargetSpec(
        teacher="hog",
        teacher_settings={},
        weights_sha256=None,
        preprocessing="",
        views=ViewSet(policy=CenterCrop(size=32), count=1, seed=seed).to_json(),
        shape=(16, 108),
        coding=Coding(dtype="float16"),
        software={},
    )
    for shard in range(dataset.manifest.num_shards):
        blocks = []
        for start in range(0, dataset.shard_samples(shard), 64):
            keys = dataset.reader(shard).facts(start // 64, "key")
            blocks.append((keys, [np.full((len(keys), *spec.shape), 0.1, dtype=np.float16)]))
        write_target_shard(dataset, spec, shard, blocks)
    seal_target(dataset, spec, {})
    return spec.target_id


@pytest.fixture
def stored(asked: Request, tmp_path: Path) -> Request:
    """A run of one step on a stored target."""
    data = Path(shutil.copytree(asked.data[0], tmp_path / "stored"))
    return replace(asked, recipe="maskfeat", settings=STORED, data=(str(data),), epochs=None, steps=1)


def test_the_card_tells_which_stored_target_is_read_and_which_views_are_replayed(
    stored: Request, run_training: Train
) -> None:
    target_id = store_histograms(Path(stored.data[0]), seed=0)
    run_training(stored)
    card = RunFolder(stored.out).card()
    views = {"policy": "CenterCrop", "parameters": {"size": 32}, "count": 1, "seed": 0}
    assert card.stored == {"hog": {"target_id": target_id, "views": views}}
    assert target_id in RunFolder(stored.out).report.read_text()


def test_a_second_target_of_the_teacher_does_not_keep_a_run_from_going_on(stored: Request, run_training: Train) -> None:
    store_histograms(Path(stored.data[0]), seed=0)
    run_training(stored)
    store_histograms(Path(stored.data[0]), seed=1)
    assert run_training(stored) == Ending(step=1, signal=None)


def test_a_target_that_was_made_anew_is_refused_with_both_ids(stored: Request, run_training: Train) -> None:
    before = store_histograms(Path(stored.data[0]), seed=0)
    run_training(stored)
    shutil.rmtree(Path(stored.data[0]) / "targets")
    after = store_histograms(Path(stored.data[0]), seed=1)
    with pytest.raises(RunMismatchError, match=f"stored.hog.target_id is '{before}' there, '{after}' here"):
        run_training(stored)
