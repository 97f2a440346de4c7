"""Tokenizers as they are typed: by name, or by the path of a file."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.tokenizers.clip import ClipTokenizer
from pipelines.tokenizers.learned import LearnedTokenizer

NAMED: Mapping[str, type[ByteTokenizer] | type[ClipTokenizer]] = {"clip": ClipTokenizer, "bytes": ByteTokenizer}


def tokenizer_called(text: str) -> ByteTokenizer | ClipTokenizer | LearnedTokenizer:
    """Return the tokenizer `clip`, `bytes`, or the one in a file.

    Raises:
        SettingsError: There is no such file, or it holds no tokenizer.
    """
    if text in NAMED and not Path(text).exists():
        return NAMED[text]()
    return LearnedTokenizer(path=text)
