"""Labels of two datasets."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shards.dataset import Dataset
from shards.errors import SettingsError
from trainers.evaluate.features import Features
from trainers.evaluate.labels import class_numbers, number_compactly, renumber, require_known_numbers


def dataset_of(root: Path, classes: tuple[str, ...] | None) -> Dataset:
    opened = Dataset.open(root)
    return Dataset(root, replace(opened.manifest, classes=classes), opened.dataset_id)


def labelled_with(*labels: int) -> Features:
    keys = tuple(f"key{number}" for number in range(len(labels)))
    return Features(keys=keys, labels=torch.tensor(labels), vectors={})


def test_classes_are_matched_by_name(labelled: Path) -> None:
    train, test = dataset_of(labelled, ("ant", "bee", "cat", "dog")), dataset_of(labelled, ("bee", "dog"))
    numbers = class_numbers(train, test)
    assert numbers is not None
    assert renumber(labelled_with(0, 1, 1), numbers).labels.tolist() == [1, 3, 3]


def test_a_class_that_training_lacks_is_refused(labelled: Path) -> None:
    train, test = dataset_of(labelled, ("ant", "bee")), dataset_of(labelled, ("bee", "bees", "cow"))
    with pytest.raises(SettingsError, match=r"has classes that .* has not: bees, cow.*Did you mean 'bee'\?"):
        class_numbers(train, test)


@pytest.mark.parametrize(("own", "other"), [(("ant",), None), (None, ("ant",))])
def test_names_and_bare_numbers_cannot_be_matched(
    labelled: Path, own: tuple[str, ...] | None, other: tuple[str, ...] | None
) -> None:
    with pytest.raises(SettingsError, match=r"have names and those of .* are bare numbers"):
        class_numbers(dataset_of(labelled, own), dataset_of(labelled, other))


def test_numbers_that_no_training_sample_has_are_refused(labelled: Path) -> None:
    data = dataset_of(labelled, None)
    assert class_numbers(data, data) is None
    require_known_numbers(data, data, labelled_with(0, 1), labelled_with(0, 3))  # 3 is in the part that was not seen
    with pytest.raises(SettingsError, match=r"has classes that .* has not: 7"):
        require_known_numbers(data, data, labelled_with(0, 1), labelled_with(1, 7))


def test_huge_labels_become_small_numbers() -> None:
    train, test, count = number_compactly(labelled_with(20210304, 7, 20210304), labelled_with(2**31 - 1, 7))
    assert (train.labels.tolist(), test.labels.tolist(), count) == ([1, 0, 1], [2, 0], 3)
