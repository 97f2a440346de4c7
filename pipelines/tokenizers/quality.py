"""How well a tokenizer fits captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.tokenizers.learned import LearnedTokenizer


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How captions come out as tokens; marks of beginning and end count as tokens of a caption.

    Args:
        mean: Tokens of a caption, on average.
        most_of_99: The most tokens of a caption, the longest hundredth left out: a sensible length.
        most: The most tokens of a caption.
        unknown_share: The share of tokens that are unknown, marks left out.
        bytes_per_token: Bytes of UTF-8 to a token, marks left out.
        used: How many different tokens occur.
    """

    mean: float
    most_of_99: int
    most: int
    unknown_share: float
    bytes_per_token: float
    used: int


def measure_quality(tokenizer: LearnedTokenizer, captions: Sequence[str]) -> Quality:
    """Measure a tokenizer, with marks of beginning and end, on one caption at least."""
    encoded = [tokenizer.encode(caption) for caption in captions]
    lengths = np.array([len(ids) for ids in encoded])
    tokens = np.concatenate([ids[1:-1] for ids in encoded]).astype(np.int64)
    num_tokens = max(len(tokens), 1)
    return Quality(
        mean=float(lengths.mean()),
        most_of_99=int(np.quantile(lengths, 0.99, method="higher")),
        most=int(lengths.max()),
        unknown_share=float((tokens == tokenizer.unknown_id).sum() / num_tokens),
        bytes_per_token=sum(len(caption.encode()) for caption in captions) / num_tokens,
        used=len(np.unique(tokens)),
    )
