"""The captions of a dataset, to learn a tokenizer from."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from shards.dataset import Dataset
from shards.errors import MissingFieldError, did_you_mean
from shards.schema import BLOCK


@dataclass(frozen=True)
class ReadCaptions:
    """Captions that were read from some samples: each line of their texts, without empty ones.

    Args:
        captions: The captions, in order.
        samples: How many samples were read.
        unreadable: How many of them hold a text that is not UTF-8.
    """

    captions: list[str]
    samples: int
    unreadable: int


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


def read_captions(dataset: Dataset, field: str, *, samples: int) -> Iterator[ReadCaptions]:
    """Yield the captions of a dataset, block by block, in the order of the shards.

    Args:
        dataset: The dataset, or a split of it.
        field: The field of texts.
        samples: How many samples to read; where there are more, blocks spread evenly over the dataset, and up to 63 samples
            more than that.

    Raises:
        CorruptShardError: Stored bytes differ from what was written.
    """
    num_blocks = -(-dataset.num_samples // BLOCK)
    wanted = min(num_blocks, -(-samples // BLOCK))
    for number in range(wanted):
        start = number * num_blocks // wanted * BLOCK
        ids = np.arange(start, min(start + BLOCK, dataset.num_samples))
        texts = [sample.fields[field] for sample in dataset.read(ids, [field]) if field in sample.fields]
        yield _split(texts, samples=len(ids))


def _split(texts: list[bytes], *, samples: int) -> ReadCaptions:
    captions: list[str] = []
    unreadable = 0
    for text in texts:
        try:
            lines = text.decode().split("\n")
        except UnicodeDecodeError:
            unreadable += 1
            continue
        captions += [line for line in map(str.strip, lines) if line]
    return ReadCaptions(captions, samples, unreadable)


@dataclass
class Reading:
    """What was read so far: counts, and the first captions to measure the tokenizer on.

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
        self.num_unreadable = 0

    def add(self, read: ReadCaptions) -> None:
        """Count what was read."""
        self.num_captions += len(read.captions)
        self.num_unreadable += read.unreadable
        self.examples += read.captions[: self.most_examples - len(self.examples)]
        for caption in read.captions:
            self.words.update(self.split(caption))
