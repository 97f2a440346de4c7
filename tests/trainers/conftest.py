"""Small real datasets and runs."""

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import trainers.loop
from shards.adopt import adopt
from trainers.launch import Manner, Request, train_run
from trainers.loop import Ending

TINY = (
    "modalities.image.size=32",
    "modalities.image.patch=8",
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.decoder.width=32",
    "model.decoder.depth=1",
    "model.decoder.heads=2",
    "training.batch=16",
    "training.base_lr=0.005",
)
"""A masked autoencoder that takes milliseconds per step."""

SAMPLES = 100
CLASSES = 4


def picture(number: int) -> bytes:
    """Noise over stripes whose direction and colour tell the class."""
    noise = np.random.default_rng(number).integers(0, 80, (40, 48, 3))
    down, right = np.mgrid[:40, :48]
    kind = number % CLASSES
    stripes = ((down if kind % 2 else right) // 4 % 2) * 150
    noise[..., kind // 2] += stripes
    data = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def write_dataset(root: Path, *, labelled: bool) -> Path:
    """Seal a dataset of `SAMPLES` pictures, in two shards."""
    root.mkdir(parents=True)
    for shard, numbers in enumerate((range(70), range(70, SAMPLES))):
        with tarfile.open(root / f"{shard}.tar", "w") as tar:
            for number in numbers:
                members = {"png": picture(number)} | ({"cls": str(number % CLASSES).encode()} if labelled else {})
                for extension, data in members.items():
                    member = tarfile.TarInfo(f"sample{number:04d}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    adopt(root)
    return root


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of pictures with labels that can be seen in them."""
    return write_dataset(tmp_path_factory.mktemp("data") / "stripes", labelled=True)


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures without labels."""
    return write_dataset(tmp_path_factory.mktemp("data") / "plain", labelled=False)


def tiny_run(data: Path, out: Path) -> Request:
    """A run of two epochs, 12 steps, of a tiny masked autoencoder."""
    return Request(
        recipe="mae",
        size="tiny",
        settings=TINY,
        seed=3,
        data=(str(data),),
        weights=(),
        out=out,
        epochs=2.0,
        steps=None,
        precision="auto",
    )


@pytest.fixture
def asked(labelled: Path, tmp_path: Path) -> Request:
    """`tiny_run` in a folder of its own."""
    return tiny_run(labelled, tmp_path / "run")


MANNER = Manner(
    device="cpu",
    workers=0,
    threads=0,
    decode="cpu",
    damage_budget=0,
    accumulate=1,
    save_every=4,
    log_every=None,
    compile=False,
)


def train(asked: Request, *, fresh: bool = False, **changes: object) -> Ending:
    """Train with `MANNER`, changed by keywords; what it prints is dropped."""
    manner = replace(MANNER, **changes)  # type: ignore[arg-type]
    return train_run(asked, manner, fresh=fresh, console=Console(file=io.StringIO()))


@pytest.fixture
def run_training() -> Callable[..., Ending]:
    """`train`, for a test to call."""
    return train


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Send this process a signal in the middle of a step."""

    def arrange(step: int, number: int) -> None:
        real = trainers.loop.Ledger.add

        def add(self: trainers.loop.Ledger, at: int, *arguments: object, **named: object) -> None:
            real(self, at, *arguments, **named)  # type: ignore[arg-type]
            if at == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(trainers.loop.Ledger, "add", add)

    return arrange
