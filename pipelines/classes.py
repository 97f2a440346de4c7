"""Classes of several datasets: a number is a place in the list of a dataset, so in a mixture the names decide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.permutation import Int64s
from shards.dataset import Dataset
from shards.schema import ABSENT, LABEL


@dataclass(frozen=True)
class Classes:
    """The names of the classes of all datasets, each once; None where no dataset names its classes.

    Where some datasets name their classes and others do not, the numbers of those that do not mean nothing beside the
    names, and their samples count as unlabelled.
    """

    names: tuple[str, ...] | None

    @classmethod
    def of(cls, datasets: Sequence[Dataset]) -> "Classes":
        """Return the classes of datasets, in the order in which they first occur."""
        lists = [dataset.manifest.classes for dataset in datasets if LABEL in dataset.manifest.fields]
        named = [names for names in lists if names is not None]
        return cls(tuple(dict.fromkeys(name for names in named for name in names)) if named else None)

    def numbered(self, dataset: Dataset, labels: Int64s) -> Int64s:
        """Return labels of a dataset as places in `names`; -1 stays."""
        if self.names is None or dataset.manifest.classes == self.names:
            return labels
        own = dataset.manifest.classes or ()
        # The last entry is that of label -1, which stands for none.
        places = np.array([*(self.names.index(name) for name in own), ABSENT], np.int64)
        return places[np.where(labels < len(own), labels, ABSENT)]
