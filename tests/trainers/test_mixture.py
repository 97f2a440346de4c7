"""Runs on several datasets, and runs on damaged ones."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.mixing import Weight
from shards.dataset import Dataset
from shards.errors import CorruptShardError, MaskloomError, MissingDatasetError, SettingsError
from trainers.checkpoint import listing
from trainers.launch import Request
from trainers.loop import Ending
from trainers.metrics import read_metrics
from trainers.mixture import open_mixture
from trainers.registry import resolve_recipe
from trainers.run import RunFolder, RunMismatchError

Train = Callable[..., Ending]


@pytest.fixture
def mixed(asked: Request, unlabelled: Path) -> Request:
    """A run on two datasets, of which the second comes in at step 4."""
    return replace(asked, data=(*asked.data, str(unlabelled)), weights=("plain=0@3,1@4",), epochs=None, steps=10)


def test_a_run_on_two_datasets_learns_and_says_which(mixed: Request, run_training: Train) -> None:
    assert run_training(mixed) == Ending(step=10, signal=None)
    records = [(record.name, record.weight) for record in RunFolder(mixed.out).card().datasets]
    assert records == [("stripes", "0:1.0"), ("plain", "3:0.0/4:1.0")]
    report = RunFolder(mixed.out).report.read_text()
    assert "weight 3:0.0/4:1.0" in report


def test_a_run_on_two_datasets_resumes_to_the_same_losses(mixed: Request, run_training: Train) -> None:
    run_training(mixed)
    run = RunFolder(mixed.out)
    before = [record["loss"] for record in read_metrics(run.metrics)]
    shutil.rmtree(listing(run.checkpoints)[-1])  # as if the run had been killed after its checkpoint at step 8
    run_training(mixed)
    assert [record["loss"] for record in read_metrics(run.metrics)] == before


def test_a_run_goes_on_with_the_same_weights_only(mixed: Request, run_training: Train) -> None:
    run_training(mixed)
    with pytest.raises(RunMismatchError, match=r"datasets\.1\.2 is '3:0.0/4:1.0' there, '0:1.0' here"):
        run_training(replace(mixed, weights=()))


def test_datasets_of_one_name_are_numbered(labelled: Path) -> None:
    recipe = resolve_recipe("mae", size="tiny")
    components = open_mixture([str(labelled), f"{labelled}/"], ["stripes#2=0.5@0,2@100"], recipe, {})
    assert [component.name for component in components] == ["stripes", "stripes#2"]
    assert components[1].weight == Weight(knots=((0, 0.5), (100, 2.0)))


def test_a_single_dataset_needs_no_name(labelled: Path) -> None:
    (component,) = open_mixture([str(labelled)], [], resolve_recipe("mae", size="tiny"), {})
    assert component.name == ""


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("stripe=2", r"weight for 'stripe', but the datasets are called stripes, plain\. Did you mean 'stripes'"),
        ("stripes", "write --weight NAME=2"),
        ("stripes=much", "'much' is no weight; write --weight NAME=2"),
        ("stripes=1@5,2@5", "rising steps"),
        ("stripes=-1", "rising steps"),
        ("stripes=nan", "all finite"),
        ("plain=inf", "all finite"),
    ],
)
def test_a_weight_that_makes_no_sense_is_refused(labelled: Path, unlabelled: Path, weight: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_mixture([str(labelled), str(unlabelled)], [weight], resolve_recipe("mae", size="tiny"), {})


def test_a_dataset_that_is_not_there_is_named(mixed: Request, run_training: Train) -> None:
    with pytest.raises(MissingDatasetError, match="nowhere"):
        run_training(replace(mixed, data=(mixed.data[0], "nowhere"), weights=()))


@pytest.fixture
def damaged(asked: Request, tmp_path: Path, labelled: Path) -> Request:
    """A run of two epochs on a dataset of which one picture is damaged."""
    root = Path(shutil.copytree(labelled, tmp_path / "damaged"))
    damage(root, "sample0033")
    assert Dataset.open(root).num_samples == 100
    return replace(asked, data=(str(root),))


def damage(root: Path, key: str) -> None:
    """Flip a bit in the picture of a sample of the first shard."""
    data = bytearray((root / "0.tar").read_bytes())
    data[data.index(f"{key}.png".encode()) + 512 + 900] ^= 1
    (root / "0.tar").write_bytes(data)


def test_a_damaged_sample_stops_a_run_without_a_budget(damaged: Request, run_training: Train) -> None:
    with pytest.raises(CorruptShardError, match="sample0033"):
        run_training(damaged)


def test_a_run_with_a_budget_replaces_the_damaged_sample_and_lists_it_once(
    damaged: Request, run_training: Train
) -> None:
    assert run_training(damaged, damage_budget=3).step == 12
    run = RunFolder(damaged.out)
    listed = [json.loads(line) for line in run.damage(0).read_text().splitlines()]
    assert [(entry["key"], entry["epoch"]) for entry in listed] == [("sample0033", 0)]
    assert "damaged samples" in run.report.read_text()


def test_a_run_that_meets_more_damage_than_its_budget_stops_and_says_where_it_is_listed(
    damaged: Request, run_training: Train
) -> None:
    damage(Path(damaged.data[0]), "sample0055")
    with pytest.raises(MaskloomError, match=r"2 samples are damaged, more than the 1 .*damage-0\.jsonl"):
        run_training(damaged, damage_budget=1)


def test_starting_over_forgets_the_damage(damaged: Request, run_training: Train) -> None:
    run_training(damaged, damage_budget=3)
    run_training(replace(damaged, steps=1, epochs=None), damage_budget=3, fresh=True)
    assert not RunFolder(damaged.out).damage(0).exists()


@pytest.mark.parametrize("way", [{"threads": 2}, {"workers": 1}, {"decode": "device"}])
def test_every_way_of_reading_reaches_the_losses_of_the_plain_one(
    asked: Request, run_training: Train, tmp_path: Path, way: dict[str, object]
) -> None:
    short = replace(asked, epochs=None, steps=3)
    run_training(short)
    other = replace(short, out=tmp_path / "other")
    if way == {"decode": "device"}:
        # The pictures of this dataset are PNG, which only the CPU decodes.
        with pytest.raises(CorruptShardError, match="only JPEG is decoded"):
            run_training(other, **way)
        return
    run_training(other, **way)
    one, two = (list(read_metrics(RunFolder(request.out).metrics)) for request in (short, other))
    assert [record["loss"] for record in one] == [record["loss"] for record in two]
