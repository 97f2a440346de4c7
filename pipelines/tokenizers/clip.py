"""The tokenizer of CLIP, with the vocabulary that comes with open_clip."""

import gzip
import html
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import ftfy
import regex  # type: ignore[import-untyped]
from tokenizers.models import BPE

from pipelines.tokenizers.word_cache import WordCache
from shards.errors import SettingsError

VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
"""Of `bpe_simple_vocab_16e6.txt.gz`, the file that OpenAI published."""

_VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
_NUM_MERGES = 49152 - 256 - 2
_MARKS = ("<start_of_text>", "<end_of_text>")
_END_OF_WORD = "</w>"
_WORDS = regex.compile(
    r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class ClipTokenizer:
    """Byte pairs in lower case between marks of beginning and end (Radford et al., arXiv:2103.00020, section 2.4).

    Ids are those of `open_clip.tokenizer.SimpleTokenizer`, padding and cut texts included: a text of more than `longest`
    ids is cut so that the last one is the end, where CLIP reads what a text says. Like there, a text in which the name of a
    mark is spelled out gets its id, and the id of padding is that of "!" as well.

    Args:
        longest: The most ids of a text, both marks included; give it the length of the modality if that is not 77.

    Raises:
        SettingsError: There is no room for a token between the marks, or the vocabulary is missing or another.
    """

    longest: int = 77

    def __post_init__(self) -> None:
        if self.longest < 3:
            raise SettingsError(f"A text of CLIP with at most {self.longest} ids was asked for; give at least 3.")
        _codec()

    @property
    def vocabulary(self) -> int:
        """How many ids there are, special ones included."""
        return 49408

    @property
    def padding_id(self) -> int:
        """The id that fills a text up to its length."""
        return 0

    @property
    def begin_id(self) -> int:
        """The id before the first token."""
        return 49406

    @property
    def end_id(self) -> int:
        """The id after the last token."""
        return 49407

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, from begin to end, `longest` at most."""
        return [self.begin_id, *_codec().cache.encode(text)[: self.longest - 2], self.end_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the cleaned text of `ids` up to the end mark, with a space after every word."""
        return _codec().decode(number for number in takewhile(self.end_id.__ne__, ids) if number != self.begin_id)

    def names(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids, in the letters of the vocabulary: `dog` ends a word, `dog…` goes on."""
        return _codec().names_of(ids)


class _Codec:
    """CLIP's vocabulary at work.

    Merging is done by the BPE of `tokenizers`; cleaning and splitting follow open_clip/tokenizer.py (MIT licence).
    """

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        self._letters = _letters_of_bytes()
        letters = list(self._letters.values())
        names = [*letters, *(letter + _END_OF_WORD for letter in letters), *map("".join, merges), *_MARKS]
        self._ids = {name: number for number, name in enumerate(names)}
        self._names = names
        self._bytes = {letter: byte for byte, letter in self._letters.items()}
        self._merging = BPE(vocab=self._ids, merges=merges, end_of_word_suffix=_END_OF_WORD)
        self.cache = WordCache(self._encode)

    def _encode(self, text: str) -> list[int]:
        cleaned = html.unescape(html.unescape(ftfy.fix_text(text)))
        words = _WORDS.findall(" ".join(cleaned.split()).lower())
        return [number for word in words for number in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        if word in _MARKS:
            return [self._ids[word]]
        spelled = "".join(self._letters[byte] for byte in word.encode())
        return [token.id for token in self._merging.tokenize(spelled)]

    def names_of(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids, with a mark where a word goes on instead of one where it ends."""
        names = (self._names[number] for number in ids)
        return [
            name if name in _MARKS else name.removesuffix(_END_OF_WORD) + ("" if name.endswith(_END_OF_WORD) else "…")
            for name in names
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""
        letters = "".join(self._names[number] for number in ids)
        return bytes(self._bytes[letter] for letter in letters).decode(errors="replace").replace(_END_OF_WORD, " ")


@lru_cache(maxsize=1)
def _codec() -> _Codec:
    """Return the codec of this process."""
    data = _vocabulary_path().read_bytes()
    if sha256(data).hexdigest() != VOCABULARY_SHA256:
        raise SettingsError(
            f"{_vocabulary_path()} is not the vocabulary of CLIP: its sha256 is {sha256(data).hexdigest()}, that of the "
            f"published file {VOCABULARY_SHA256}. Install open_clip_torch again."
        )
    lines = gzip.decompress(data).decode().split("\n")[1 : _NUM_MERGES + 1]
    return _Codec([(first, second) for first, second in map(str.split, lines)])


def _vocabulary_path() -> Path:
    """Return where open_clip keeps the vocabulary, without importing it, which takes seconds."""
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise SettingsError(
            "The tokenizer of CLIP needs the vocabulary that comes with open_clip: pip install open_clip_torch."
        )
    return Path(found.origin).parent / _VOCABULARY_FILE


def _letters_of_bytes() -> dict[int, str]:
    """Return a visible letter for every byte, visible ones first (Radford et al., GPT-2, encoder.py)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
