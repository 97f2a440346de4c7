"""What all targets have in common that are computed from the batch and predicted at hidden places."""

from abc import abstractmethod
from typing import Any

from trainers.recipe import Places


class ComputedTarget:
    """Nothing is stored of such a target: what it is computed from is in the batch."""

    @property
    def stored(self) -> None:
        """Nothing is read from the dataset."""
        return None

    @property
    def places(self) -> Places:
        """At the hidden tokens."""
        return "target"

    @abstractmethod
    def dim(self, modality: Any) -> int:  # noqa: ANN401 - each target says of which modalities it can be
        """Return the number of values predicted for each token."""

    def stored_shape(self, modality: Any) -> tuple[int, int]:  # noqa: ANN401
        """Return tokens, and values of one."""
        return modality.num_tokens, self.dim(modality)
