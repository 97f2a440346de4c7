"""Whole runs of tokenizers: trained, stopped, resumed, shared between processes, written to a file, measured."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import maskloom
from pipelines.stream import sequential
from pipelines.tokenizers.vq import load_tokenizer
from pipelines.views import CenterCrop, ViewSet
from shards.dataset import Dataset
from shards.target_spec import Coding, TargetSpec
from shards.target_writer import seal_target, write_target_shard
from tests.trainers.test_launch import assert_same_run, command, environment, losses, weights
from trainers.launch import Request
from trainers.loop import Ending

Train = Callable[..., Ending]

SMALL = ("model.width=32", "model.depth=1", "model.decoder_depth=1", "model.heads=2", "model.codebook.size=16")
PICTURES = (
    *SMALL,
    *("modalities.image.size=32", "modalities.image.patch=8", "training.batch=16", "training.base_lr=0.03"),
)


@pytest.fixture
def vq(asked: Request) -> Request:
    """A run of two epochs, 12 steps, of a tiny tokenizer of pictures."""
    return replace(asked, recipe="vq_image", settings=PICTURES)


def evaluated(run: Path, data: str) -> dict[str, Any]:
    options = ["--data", data, "--workers", "0", "--device", "cpu"]
    result = CliRunner().invoke(maskloom.app, ["eval", str(run), *options])
    assert result.exit_code == 0, result.output
    (path,) = (run / "eval").glob("*.json")
    return dict(json.loads(path.read_text()))


def test_a_run_leaves_a_tokenizer_that_is_the_network_of_its_last_checkpoint(vq: Request, run_training: Train) -> None:
    run_training(vq)
    assert losses(vq)[-1] < losses(vq)[0]
    tokenizer = load_tokenizer(vq.out)
    learned = {name.removeprefix("tokenizer."): value for name, value in weights(vq).items()}
    assert all(torch.equal(value, learned[name]) for name, value in tokenizer.state_dict().items())
    views = CenterCrop(size=32)
    batch = next(sequential(Dataset.open(vq.data[0]), modalities=[tokenizer.modality], views=views, batch=8))  # type: ignore[list-item]
    ids = tokenizer.encode(batch.inputs["image"])
    assert ids.shape == (8, 16)
    assert tokenizer.decode(ids).dtype == torch.uint8


def test_a_stopped_run_goes_on_bit_for_bit_to_the_same_tokenizer(
    vq: Request, run_training: Train, stop_at: Callable[[int, int], None]
) -> None:
    whole = replace(vq, out=vq.out.with_name("whole"))
    run_training(whole)
    stop_at(6, signal.SIGTERM)
    assert run_training(vq) == Ending(step=6, signal=signal.SIGTERM)
    assert not (vq.out / "tokenizer.safetensors").exists()
    assert run_training(vq).step == 12
    assert_same_run(whole, vq)
    assert load_tokenizer(vq.out).weights_sha256 == load_tokenizer(whole.out).weights_sha256


def test_a_run_that_was_killed_before_it_wrote_its_tokenizer_writes_it_when_asked_again(
    vq: Request, run_training: Train
) -> None:
    run_training(vq)
    digest = load_tokenizer(vq.out).weights_sha256
    (vq.out / "tokenizer.safetensors").unlink()
    assert run_training(vq).step == 12
    assert load_tokenizer(vq.out).weights_sha256 == digest


def test_two_processes_learn_one_codebook_from_the_tokens_of_both(vq: Request, run_training: Train) -> None:
    asked = replace(vq, settings=(*vq.settings, "model.codebook.dead_below=0"))  # which draws codes on each process
    alone = replace(asked, out=vq.out.with_name("alone"))
    run_training(alone)
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
    assert losses(asked) == pytest.approx(losses(alone), abs=1e-4)
    assert load_tokenizer(asked.out).vocabulary == 16


def test_what_a_tokenizer_is_worth_is_measured_and_drawn(vq: Request, run_training: Train) -> None:
    run_training(vq)
    result = evaluated(vq.out, vq.data[0])
    tokens = result["tokens"]
    assert (tokens["samples"], tokens["tokens"], tokens["held_out"]) == (100, 1600, False)
    assert tokens["reconstruction"]["name"] == "PSNR"
    assert 5 < tokens["reconstruction"]["mean"] < 40
    assert 0 < tokens["codebook"]["used"] <= tokens["codebook"]["seen"] <= 1
    assert "skipped" in result["classification"]
    (drawn,) = result["reconstructions"]
    assert (vq.out / "eval" / drawn["picture"]).is_file()
    assert "Perplexity" in (vq.out / "report.html").read_text()


def store_features(root: Path, *, width: int) -> None:
    """Seal a stored target of noise, called `clip`, for pictures of 32 pixels in patches of 8."""
    dataset = Dataset.open(root)
    spec = TargetSpec(
        teacher="clip",
        teacher_settings={},
        weights_sha256=None,
        preprocessing="",
        views=ViewSet(policy=CenterCrop(size=32), count=2, seed=0).to_json(),
        shape=(16, width),
        coding=Coding(dtype="int8"),
        software={},
    )
    noise = np.random.default_rng(0)
    for shard in range(dataset.manifest.num_shards):
        blocks = []
        for start in range(0, dataset.shard_samples(shard), 64):
            keys = dataset.reader(shard).facts(start // 64, "key")
            stored = noise.integers(-127, 128, (2, len(keys), 16, width), dtype=np.int8)
            stored = np.concatenate(
                [stored, np.broadcast_to(np.float32(0.1).reshape(1).view(np.int8), (*stored.shape[:3], 4))], axis=-1
            )
            blocks.append((keys, list(stored)))
        write_target_shard(dataset, spec, shard, blocks)
    seal_target(dataset, spec, {})


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (
            "vq_features",
            ("modalities.features.stored=clip", "modalities.features.grid=4,4", "modalities.features.dim=12"),
        ),
        (
            "vq_kd",
            (
                "modalities.image.size=32",
                "modalities.image.patch=8",
                "targets.features.table=clip",
                "targets.features.width=12",
            ),
        ),
    ],
)
def test_tokenizers_learn_from_stored_features(
    vq: Request, run_training: Train, tmp_path: Path, recipe: str, settings: tuple[str, ...]
) -> None:
    data = Path(shutil.copytree(vq.data[0], tmp_path / "stored"))
    store_features(data, width=12)
    asked = replace(
        vq, recipe=recipe, settings=(*SMALL, *settings, "training.batch=16"), data=(str(data),), epochs=None, steps=2
    )
    run_training(asked)
    tokens = evaluated(asked.out, str(data))["tokens"]
    assert tokens["reconstruction"]["name"] == "mean cosine"
    assert -1 <= tokens["reconstruction"]["mean"] <= 1
    if recipe == "vq_features":
        assert load_tokenizer(asked.out).feature_shape == (16, 12)
