"""How many tokens samples have, by what the indexes of their datasets know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.component import Component
from pipelines.fitting import require_length
from pipelines.packing import Packing
from pipelines.permutation import Int64s
from pipelines.visits import Visits
from shards.dataset import Dataset


@dataclass(frozen=True)
class Lengths:
    """Maps visits to their numbers of tokens, at least 1."""

    datasets: tuple[Dataset, ...]
    packing: Packing

    @classmethod
    def of(cls, components: Sequence[Component], packing: Packing) -> "Lengths":
        """Return the lengths by which samples of a mixture are packed.

        Raises:
            MissingFieldError: A length counts a fact that no index keeps.
        """
        for name, length in packing.lengths.items():
            require_length(name, length, components)
        return cls(tuple(component.dataset for component in components), packing)

    def __call__(self, visits: Visits) -> Int64s:
        """Return the tokens of each visit."""
        tokens = np.zeros(len(visits), np.int64)
        for place, dataset in enumerate(self.datasets):
            rows = np.flatnonzero(visits.datasets == place)
            for length in self.packing.lengths.values():
                if rows.size and length.column.rpartition(".")[0] in dataset.manifest.fields:
                    facts = dataset.column(visits.ids[rows], length.column)
                    tokens[rows] += length.tokens(facts.astype(np.float64))
        return np.maximum(tokens, 1)
