"""Labels of two datasets side by side: a number is a place in the dataset's own list of classes, so names decide."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shards.dataset import Dataset, Ids
from shards.errors import SettingsError, did_you_mean
from shards.schema import ABSENT
from trainers.evaluate.features import Features

IDS_AT_ONCE = 65536
SHOWN_CLASSES = 8


def class_numbers(train: Dataset, test: Dataset) -> Int[Tensor, " classes"] | None:
    """Return the number in `train` of every class of `test`; None where both number classes without naming them.

    Raises:
        SettingsError: Only one of them names its classes, or `test` has a class that `train` has not.
    """
    known, asked = train.manifest.classes, test.manifest.classes
    if known is None and asked is None:
        return None
    if known is None or asked is None:
        named, nameless = (test, train) if known is None else (train, test)
        raise SettingsError(
            f"The classes of {named.root} have names and those of {nameless.root} are bare numbers, so nobody can tell "
            "which is which. Ingest both from folders named after the classes, or both from numbers."
        )
    foreign = [name for name in asked if name not in set(known)]
    if foreign:
        raise SettingsError(f"{_unknown_classes(foreign, train, test)}{did_you_mean(foreign[0], known)}")
    places = {name: place for place, name in enumerate(known)}
    return torch.tensor([places[name] for name in asked], dtype=torch.long)


def renumber(features: Features, numbers: Int[Tensor, " classes"]) -> Features:
    """Return features with their labels replaced by `numbers[label]`."""
    return replace(features, labels=numbers[features.labels])


def require_known_numbers(train: Dataset, test: Dataset, seen: Features, asked: Features) -> None:
    """Refuse a test of numbered classes that the training data do not have.

    `seen` are features of `train`, maybe of a part of it; only if they lack a label, all labels of `train` are read.

    Raises:
        SettingsError: `asked` has labels that no sample of `train` has.
    """
    unseen = set(asked.labels.tolist()) - set(seen.labels.tolist())
    foreign = sorted(unseen - _all_labels(train)) if unseen else []
    if foreign:
        raise SettingsError(_unknown_classes([str(number) for number in foreign], train, test))


def _all_labels(dataset: Dataset) -> set[int]:
    found: set[int] = set()
    for start in range(0, dataset.num_samples, IDS_AT_ONCE):
        ids: Ids = np.arange(start, min(start + IDS_AT_ONCE, dataset.num_samples), dtype=np.int64)
        found.update(dataset.column(ids, "label").tolist())
    return found - {ABSENT}


def _unknown_classes(names: list[str], train: Dataset, test: Dataset) -> str:
    shown = ", ".join(names[:SHOWN_CLASSES]) + (", ..." if len(names) > SHOWN_CLASSES else "")
    return (
        f"{test.root} has classes that {train.root} has not: {shown}. A probe cannot answer with a class it "
        "has never seen; test on a dataset of the same classes."
    )


def number_compactly(train: Features, test: Features) -> tuple[Features, Features, int]:
    """Return both with their classes numbered from 0 without gaps, and how many classes there are.

    Labels may be huge (folders named 20210304), and nothing should be as large as the largest of them.
    """
    found, compact = torch.unique(torch.cat([train.labels, test.labels]), return_inverse=True)
    own, other = torch.split(compact, [len(train.labels), len(test.labels)])
    return replace(train, labels=own), replace(test, labels=other), len(found)
