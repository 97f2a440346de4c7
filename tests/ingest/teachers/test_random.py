"""A vision transformer that was never trained, as a teacher."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from ingest.networks.timm_models import Architecture, initialised_vit
from ingest.teachers import Teacher, new_teacher
from ingest.teachers.random import DEVIATION, draw_weights
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU, SMALL, some_pictures

TINY = "vit_tiny_patch16_224"
OF_ANOTHER_PROCESS = """
import torch
from ingest.teachers import new_teacher
torch.manual_seed(99)
torch.rand(7)
print(new_teacher("random", size=32, settings=["model=vit_tiny_patch16_224", "seed=5"]).weights_sha256)
"""


def teacher(*settings: str, size: int = 32) -> Teacher:
    return new_teacher("random", size=size, settings=[f"model={TINY}", *settings])


def test_weights_are_the_same_in_every_process() -> None:
    told = subprocess.run(
        [sys.executable, "-c", OF_ANOTHER_PROCESS], capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.strip() == teacher("seed=5").weights_sha256


def test_weights_stay_the_same_from_version_to_version() -> None:
    """Recorded when the teacher was made: another version of timm or torch, or another machine, draws the same."""
    network = initialised_vit(Architecture(name=TINY, arguments=tuple(sorted(SMALL.items()))), side=32)
    draw_weights(network, seed=0)
    drawn: Any = network.blocks[2].attn.qkv.weight
    assert drawn[0, :3].tolist() == pytest.approx(RECORDED, abs=0)


RECORDED = [-0.016211550682783127, -0.02474535070359707, 0.028241582214832306]


def test_another_seed_is_another_teacher() -> None:
    assert teacher("seed=5").weights_sha256 != teacher("seed=6").weights_sha256
    first, second = (teacher(f"seed={seed}").load(CPU)(some_pictures(size=32)) for seed in (5, 6))
    assert (first - second).abs().mean() > 0.1


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    teacher().load(CPU)
    assert torch.equal(torch.rand(4), wanted)


def test_drawn_weights_have_the_deviation_that_is_said_and_biases_are_zero() -> None:
    network = initialised_vit(Architecture(name=TINY), side=32)
    draw_weights(network, seed=1)
    for name, value in network.named_parameters():
        if value.ndim > 1 and value.numel() > 10_000:
            assert value.std().item() == pytest.approx(DEVIATION, rel=0.05), name
            assert abs(value.mean().item()) < 1e-3, name
        if name.endswith("bias"):
            assert not value.any(), name
        if name.endswith("norm1.weight"):
            assert (value == 1).all(), name


@pytest.mark.parametrize("output", ["patches", "class", "attention", "pooled"])
def test_every_output_says_something_about_the_picture(output: str) -> None:
    asked = teacher(f"output={output}", "input_size=32")
    found = asked.load(CPU)(some_pictures(size=32))
    assert found.shape[1:] == asked.shape
    assert found.dtype == torch.float32
    assert not torch.allclose(found[0], found[1], atol=1e-6)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="has 12 layers"):
        _ = teacher("layer=12").shape
