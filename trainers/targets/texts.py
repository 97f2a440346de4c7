"""The words of a caption: which id of its tokenizer stands at every place."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Text
from trainers.targets.computed import ComputedTarget


@dataclass(frozen=True, kw_only=True)
class TextIds(ComputedTarget):
    """Predict which id of the tokenizer stands at a place; where a plan says what is to be written, that is wanted."""

    name: str = "text"
    modality: str = "text"

    def dim(self, modality: Text) -> int:
        """Return the number of ids of the tokenizer, each of which gets a logit."""
        return modality.tokenizer.vocabulary

    def build(self, modality: Text) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to int64 ids [batch, tokens, 1]."""

        def read(batch: Batch) -> Tensor:
            return batch.inputs[modality.name][..., None]

        return read
