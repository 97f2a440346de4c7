"""`maskloom eval` on real runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from shards.dataset import Dataset
from shards.errors import StorageError
from tests.trainers.conftest import tiny_run, train
from trainers.checkpoint import CheckpointError
from trainers.evaluate.evaluation import TRAINED, UNTRAINED, Subject, evaluate, is_held_out, load_subject
from trainers.run import RunFolder

PIXELS = "raw pixels"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained_once(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = tiny_run(labelled, tmp_path_factory.mktemp("trained") / "run")
    train(replace(asked, epochs=None, steps=3))
    return asked.out


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> RunFolder:
    """A run of three steps, to which a test may add."""
    return RunFolder(Path(shutil.copytree(trained_once, tmp_path / "run")))


def subject_of(run: RunFolder) -> Subject:
    return load_subject(run, device=CPU, dtype=torch.float32)


def test_visible_classes_are_found_and_written_down(trained: RunFolder, labelled: Path) -> None:
    data = Dataset.open(labelled)
    result = evaluate(trained, subject_of(trained), data, None, limit=None, workers=0)
    assert json.loads((trained.evaluations / "stripes.json").read_text()) == result
    classification = result["classification"]
    assert list(classification["scores"]) == [TRAINED, UNTRAINED, PIXELS]
    assert classification["train_samples"] + classification["test_samples"] == data.num_samples
    assert classification["scores"][PIXELS]["linear"]["accuracy"] > 0.8
    for scores in classification["scores"].values():
        for kind in ("knn", "linear"):
            assert 0 <= scores[kind]["low"] <= scores[kind]["accuracy"] <= scores[kind]["high"] <= 1
    (drawn,) = result["reconstructions"]
    assert (drawn["target"], drawn["modality"], drawn["picture"]) == ("patches", "image", "stripes-patches.png")
    with Image.open(trained.evaluations / drawn["picture"]) as picture:
        assert picture.size[0] > 300


def test_evaluation_is_repeatable(trained: RunFolder, labelled: Path) -> None:
    one, other = (
        evaluate(trained, subject_of(trained), Dataset.open(labelled), None, limit=80, workers=workers)
        for workers in (0, 1)
    )
    assert one == other


def test_training_changed_the_encoder_that_is_measured(trained: RunFolder) -> None:
    subject = subject_of(trained)
    before, after = subject.untrained().state_dict(), subject.network.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in after.items())


def test_another_dataset_can_be_the_test(trained: RunFolder, labelled: Path) -> None:
    data = Dataset.open(labelled)
    result = evaluate(trained, subject_of(trained), data, data, limit=None, workers=0)
    assert result["classification"]["test_samples"] == data.num_samples
    assert result["classification"]["scores"][PIXELS]["linear"]["accuracy"] == 1.0


def test_without_labels_there_are_pictures_and_a_reason(trained: RunFolder, unlabelled: Path) -> None:
    result = evaluate(trained, subject_of(trained), Dataset.open(unlabelled), None, limit=None, workers=0)
    assert "has no labels" in result["classification"]["skipped"]
    assert (trained.evaluations / "plain-patches.png").is_file()


def test_a_run_without_checkpoint_says_so(trained: RunFolder) -> None:
    for folder in trained.checkpoints.iterdir():
        folder.rename(trained.root / folder.name)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        subject_of(trained)


def test_labels_of_the_test_are_matched_by_class_name(trained: RunFolder, labelled: Path) -> None:
    opened = Dataset.open(labelled)
    names = ("ant", "bee", "cat", "dog")
    data, turned = (
        Dataset(opened.root, replace(opened.manifest, classes=classes), opened.dataset_id)
        for classes in (names, names[::-1])
    )
    result = evaluate(trained, subject_of(trained), data, turned, limit=None, workers=0)
    assert result["classification"]["scores"][PIXELS]["linear"]["accuracy"] == 0.0


def test_two_datasets_in_folders_of_one_name_have_a_result_each(trained: RunFolder, labelled: Path) -> None:
    one = Dataset.open(labelled)
    other = Dataset(one.root, one.manifest, "f" * 16)
    for data in (one, other, one):
        evaluate(trained, subject_of(trained), data, None, limit=10, workers=0)
    assert sorted(path.name for path in trained.evaluations.iterdir()) == [
        "stripes-ffffffff-patches.png",
        "stripes-ffffffff.json",
        "stripes-patches.png",
        "stripes.json",
    ]
    assert json.loads((trained.evaluations / "stripes.json").read_text())["dataset"]["dataset_id"] == one.dataset_id


def test_results_that_cannot_be_written_are_a_storage_error(trained: RunFolder, labelled: Path) -> None:
    trained.evaluations.touch()
    with pytest.raises(StorageError, match="Cannot write"):
        evaluate(trained, subject_of(trained), Dataset.open(labelled), None, limit=10, workers=0)


@pytest.mark.parametrize(
    ("measured", "trained_on", "held_out"),
    [
        ("one", ["one"], False),
        ("one", ["two"], True),
        ("one:val", ["one"], False),
        ("one", ["one:train"], False),
        ("one:val", ["one:val"], False),
        ("one:val", ["one:train"], True),
        ("one:val", ["one:train", "one"], False),
        ("one:val", ["two:val", "one:train"], True),
        ("one", [], True),
    ],
)
def test_a_split_is_held_out_unless_the_whole_was_trained_on(
    measured: str, trained_on: list[str], *, held_out: bool
) -> None:
    assert is_held_out(measured, trained_on) is held_out
