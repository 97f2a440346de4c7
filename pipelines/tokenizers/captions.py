"""The captions of a dataset, to learn a tokenizer from."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shards.dataset import Dataset
from shards.errors import CorruptShardError, Damage, MissingFieldError, did_you_mean
from shards.sample import Sample
from shards.schema import BLOCK


def text_field(dataset: Dataset, field: str = "") -> str:
    """Return `field`, or the only field of texts if it is empty.

    Raises:
        MissingFieldError: There is no such field of texts, or there are several to choose from.
    """
    texts = [name for name, described in dataset.manifest.fields.items() if described.kind == "text"]
    if field in texts:
        return field
    held = f"{dataset.root} holds texts in {', '.join(texts)}" if texts else f"{dataset.root} holds no texts"
    if field:
        raise MissingFieldError(
            f"Captions were asked for in the field '{field}', but {held}.{did_you_mean(field, texts)}"
        )
    if len(texts) != 1:
        everything = ", ".join(dataset.manifest.fields)
        raise MissingFieldError(
            f"{held}; " + ("choose one with --field." if texts else f"its fields are {everything}.")
        )
    return texts[0]


def read_captions(dataset: Dataset, field: str, *, samples: int) -> Iterator[list[str]]:
    """Yield the captions of every block of a dataset, in the order of the shards: each line of its texts that is not empty.

    Args:
        dataset: The dataset, or a split of it.
        field: The field of texts.
        samples: How many samples to read, rounded up to whole blocks of 64; if there are more, the blocks are spread evenly.

    Raises:
        CorruptShardError: Stored bytes differ from what was written, or are not UTF-8.
    """
    num_blocks = -(-dataset.num_samples // BLOCK)
    wanted = min(num_blocks, -(-samples // BLOCK))
    for number in range(wanted):
        start = number * num_blocks // wanted * BLOCK
        ids = np.arange(start, min(start + BLOCK, dataset.num_samples))
        texts = [_text(sample, field) for sample in dataset.read(ids, [field]) if field in sample.fields]
        yield [line for text in texts for line in map(str.strip, text.split("\n")) if line]


def _text(sample: Sample, field: str) -> str:
    try:
        return sample.fields[field].decode()
    except UnicodeDecodeError as error:
        raise CorruptShardError(
            f"The text '{field}' of sample {sample.key} is not UTF-8: {error.reason} at byte {error.start}.",
            kind=Damage.DECODE,
            key=sample.key,
            field=field,
        ) from error


@dataclass
class Reading:
    """What was read so far: how often words occur, and the first captions, to measure the tokenizer on.

    Args:
        split: From a caption to its words.
        most_examples: How many captions are kept.
    """

    split: Callable[[str], list[str]]
    most_examples: int

    def __post_init__(self) -> None:
        self.words: Counter[str] = Counter()
        self.examples: list[str] = []
        self.num_captions = 0

    def add(self, captions: Sequence[str]) -> None:
        """Count the words of captions."""
        self.num_captions += len(captions)
        self.examples += captions[: self.most_examples - len(self.examples)]
        for caption in captions:
            self.words.update(self.split(caption))
