"""Checkpoints survive everything that happens to them, or say so."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import trainers.checkpoint
from shards.errors import StorageError
from trainers.checkpoint import (
    CheckpointError,
    CheckpointWriter,
    Progress,
    discard_unfinished,
    latest,
    listing,
    load,
    restore,
    take,
    write,
)


def build() -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.GELU(), nn.Linear(7, 3))
    network[0].bias.requires_grad_(False)
    groups = [
        {"params": [network[3].weight, network[0].weight], "weight_decay": 0.1},
        {"params": [network[1].weight, network[1].bias, network[3].bias], "weight_decay": 0.0},
    ]
    return network, torch.optim.AdamW(groups, lr=1e-2)


def steps(network: nn.Module, optimiser: torch.optim.Optimizer, seeds: range) -> list[float]:
    losses = []
    for seed in seeds:
        values = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad()
        loss = network(values).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def progress(step: int) -> Progress:
    return Progress(step=step, card_id="abc", stream={"epoch": 1, "step": step})


def test_training_goes_on_bit_for_bit_after_a_round_trip(tmp_path: Path) -> None:
    network, optimiser = build()
    steps(network, optimiser, range(5))
    write(tmp_path, take(network, optimiser, progress(5)))
    expected = steps(network, optimiser, range(5, 12))

    resumed, fresh = build()
    steps(resumed, fresh, range(50, 52))
    found = latest(tmp_path)
    assert found is not None
    assert found.progress == progress(5)
    restore(found, resumed, fresh)
    assert steps(resumed, fresh, range(5, 12)) == expected
    for name, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for parameter, other in zip(network.parameters(), resumed.parameters(), strict=True):
        for key, value in optimiser.state.get(parameter, {}).items():
            assert torch.equal(value, fresh.state[other][key]), key


def test_checkpoint_is_a_copy_that_later_steps_leave_alone() -> None:
    network, optimiser = build()
    steps(network, optimiser, range(2))
    before = take(network, optimiser, progress(2))
    weight, moment = before.model["0.weight"].clone(), before.optimiser["0.weight.exp_avg"].clone()
    steps(network, optimiser, range(2, 4))
    assert torch.equal(before.model["0.weight"], weight)
    assert torch.equal(before.optimiser["0.weight.exp_avg"], moment)


@pytest.mark.parametrize("crash_after", ["model", "optimiser", "state", "rename"])
def test_crash_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_after: str
) -> None:
    network, optimiser = build()
    steps(network, optimiser, range(1))
    write(tmp_path, take(network, optimiser, progress(1)))

    class PowerCutError(BaseException):
        pass

    saved = iter(["model", "optimiser"])
    real_save, real_flush = trainers.checkpoint.save_file, trainers.checkpoint.sync

    def save_then_die(*arguments: object) -> None:
        real_save(*arguments)  # type: ignore[arg-type]
        if next(saved) == crash_after:
            raise PowerCutError

    def flush_then_die(path: Path) -> None:
        real_flush(path)
        if crash_after == "state" or (crash_after == "rename" and path == tmp_path):
            raise PowerCutError

    monkeypatch.setattr(trainers.checkpoint, "save_file", save_then_die)
    monkeypatch.setattr(trainers.checkpoint, "sync", flush_then_die)
    with pytest.raises(PowerCutError):
        write(tmp_path, take(network, optimiser, progress(2)))
    monkeypatch.undo()

    found = latest(tmp_path)
    assert found is not None
    assert found.progress.step == (2 if crash_after == "rename" else 1)
    discard_unfinished(tmp_path)
    assert all(path.name.startswith("step-") for path in tmp_path.iterdir())
    if crash_after != "rename":
        write(tmp_path, take(network, optimiser, progress(2)))
    assert [path.name for path in listing(tmp_path)] == ["step-00000001", "step-00000002"]


def test_a_flipped_bit_is_found_and_the_way_out_named(tmp_path: Path) -> None:
    network, optimiser = build()
    folder = write(tmp_path, take(network, optimiser, progress(3)))
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged.*Remove .*step-00000003"):
        load(folder)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    network, optimiser = build()
    checkpoint = take(network, optimiser, progress(1))
    other = nn.Sequential(nn.Linear(5, 7))
    with pytest.raises(CheckpointError, match="do not fit"):
        restore(checkpoint, other, torch.optim.AdamW(other.parameters()))


def test_no_file_of_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    network, optimiser = build()
    steps(network, optimiser, range(1))
    folder = write(tmp_path, take(network, optimiser, progress(1)))
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    for path in folder.glob("*.safetensors"):
        header = path.read_bytes()
        json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])


def test_writer_keeps_the_two_newest(tmp_path: Path) -> None:
    network, optimiser = build()
    with CheckpointWriter(tmp_path) as writer:
        for step in (1, 2, 3, 4):
            writer.save(take(network, optimiser, progress(step)))
    assert [path.name for path in listing(tmp_path)] == ["step-00000003", "step-00000004"]


def test_failed_background_write_is_raised(tmp_path: Path) -> None:
    network, optimiser = build()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match="step 1"), CheckpointWriter(blocked) as writer:
        writer.save(take(network, optimiser, progress(1)))
