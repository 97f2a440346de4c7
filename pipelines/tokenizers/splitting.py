"""What happens to a text before there are tokens: it is normalised, and split into words."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer


class Kind(StrEnum):
    """The kinds of tokenizer that can be learned."""

    WORDPIECE = "wordpiece"
    """Pieces of words between spaces and punctuation marks; rare characters are unknown. As in BERT and 4M."""
    BPE = "bpe"
    """Pairs of bytes; nothing is unknown in any language. As in GPT-2 and RoBERTa."""


def splitting(kind: Kind, is_lower_case: bool) -> tuple[Normalizer, PreTokenizer]:
    """Return the normalisation and the split of a kind.

    Word pieces have those of BERT (Devlin et al., arXiv:1810.04805; google-research/bert, tokenization.py): control
    characters are dropped, Chinese characters and punctuation marks are words, and with lower case accents go as well.
    For byte pairs, texts become NFC and a run of white space one space; every word takes the space before it along, the
    first one a space that was not there.
    """
    if kind is Kind.WORDPIECE:
        return normalizers.BertNormalizer(lowercase=is_lower_case), pre_tokenizers.BertPreTokenizer()
    lower_case: list[Normalizer] = [normalizers.Lowercase()] if is_lower_case else []
    spaces: list[Normalizer] = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence([*lower_case, normalizers.NFC(), *spaces]), pre_tokenizers.ByteLevel()


def splitting_as_json(kind: Kind, is_lower_case: bool) -> tuple[Any, Any]:
    """Return the normalisation and the split of a kind as they stand in files."""
    normalises, splits = (json.loads(part.__getstate__()) for part in splitting(kind, is_lower_case))
    return normalises, splits


def word_splitter(kind: Kind, is_lower_case: bool) -> Callable[[str], list[str]]:
    """Return the function from a text to its words, normalised, as the model of the kind gets them."""
    normalises, splits = splitting(kind, is_lower_case)

    def split(text: str) -> list[str]:
        return [word for word, _ in splits.pre_tokenize_str(normalises.normalize_str(text))]

    return split
