"""Learning a tokenizer from the words of captions and how often they occur: the same words give the same file."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from pipelines.tokenizers.splitting import Kind, splitting
from shards.errors import SettingsError

BEGIN, END = "[SOS]", "[EOS]"
_UNKNOWN = "[UNK]"
_LEAST_COUNT = 2
"""A character, or a pair, that occurs less often is not learned."""
_LONGEST_WORD = 100
"""Longer ones are no words; BERT's word pieces make one unknown token of them."""
_INSIDE = "##"
_FIRST_LETTER = 0x10000
_REPEATS = 4096


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What is to be learned.

    Special ids are those of 4M (Mizrahi et al., arXiv:2312.06647; apple/ml-4m, text_tokenizer.py), a mask added: 0 padding,
    1 unknown, 2 begin, 3 end, then the sentinels, then the mask.

    Args:
        kind: Word pieces or byte pairs.
        vocabulary: How many ids there should be, special ones included; fewer, where captions are too few for that many.
        sentinels: How many sentinels there are, which stand for spans that were cut out; 4M has 200.
        is_lower_case: Whether upper-case letters become lower-case ones.

    Raises:
        SettingsError: The vocabulary has no room for anything beside special tokens and, for byte pairs, all bytes.
    """

    kind: Kind
    vocabulary: int
    sentinels: int = 0
    is_lower_case: bool = True

    def __post_init__(self) -> None:
        if self.sentinels < 0:
            raise SettingsError(f"A tokenizer with {self.sentinels} sentinels was asked for; give 0 or more.")
        least = len(self.special_tokens) + (256 if self.kind is Kind.BPE else 3)
        if self.vocabulary < least:
            bytes_too = " and 256 bytes" if self.kind is Kind.BPE else ""
            raise SettingsError(
                f"A vocabulary of {self.vocabulary} has no room for {len(self.special_tokens)} special tokens{bytes_too}; "
                f"give at least {least}, or fewer sentinels. Usual are 8000 to 50000."
            )

    @property
    def special_tokens(self) -> list[str]:
        """The names of special tokens, in the order of their ids."""
        return ["[PAD]", _UNKNOWN, BEGIN, END, *(f"[S_{number}]" for number in range(self.sentinels)), "[MASK]"]


def learn(words: Mapping[str, int], learning: Learning) -> bytes:
    """Return the file of the tokenizer that is learned from words, as `word_splitter` gives them, and their counts.

    Raises:
        SettingsError: There is no word.
    """
    if not words:
        raise SettingsError("There is no word to learn from: the captions are empty.")
    short = {word: count for word, count in words.items() if len(word) <= _LONGEST_WORD}
    learn_model = _learn_word_pieces if learning.kind is Kind.WORDPIECE else _learn_byte_pairs
    tokenizer = Tokenizer(learn_model(short, learning))
    tokenizer.normalizer, tokenizer.pre_tokenizer = splitting(learning.kind, learning.is_lower_case)
    is_bytes = learning.kind is Kind.BPE
    tokenizer.decoder = decoders.ByteLevel() if is_bytes else decoders.WordPiece(prefix=_INSIDE, cleanup=False)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in learning.special_tokens])
    ids = [(name, learning.special_tokens.index(name)) for name in (BEGIN, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=ids)
    file: str = tokenizer.to_str(pretty=True)
    return f"{file}\n".encode()


def _learn_byte_pairs(words: Mapping[str, int], learning: Learning) -> models.BPE:
    model = _merged(words, pre_tokenizers.ByteLevel.alphabet(), learning)
    return models.BPE(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def _learn_word_pieces(words: Mapping[str, int], learning: Learning) -> models.WordPiece:
    """Learn pieces by merging the pairs that occur most often, as the library's own trainer of word pieces does.

    That one numbers characters inside words in another order every time, and ties are broken by number. So the units of
    words (`d`, `##o`, `##g`) are spelled as letters here, of which the trainer of pairs gives the same result every time.
    """
    letters = _letters(words, most=(learning.vocabulary - len(learning.special_tokens)) // 3)
    spelled = {
        "".join(letters[unit] for unit in units): count
        for word, count in words.items()
        if letters.keys() >= set(units := _units(word))
    }
    units_of = {letter: unit for unit, letter in letters.items()}
    vocabulary = {}
    for token, number in _merged(spelled, letters.values(), learning)["vocab"].items():
        first, *rest = (units_of.get(letter, letter) for letter in token)
        vocabulary[first + "".join(unit.removeprefix(_INSIDE) for unit in rest)] = number
    return models.WordPiece(vocab=vocabulary, unk_token=_UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)


def _units(word: str) -> list[str]:
    """Return the characters of a word, marked where they do not begin it."""
    return [word[0], *(_INSIDE + character for character in word[1:])]


def _letters(words: Mapping[str, int], *, most: int) -> dict[str, str]:
    """Return a letter for every unit of the `most` characters that occur most often, and not only once.

    Each of them can begin a word, and stand inside one if it ever does.
    """
    counts: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            counts[character] += count
        inside.update(word[1:])
    often = sorted((one for one in counts if counts[one] >= _LEAST_COUNT), key=lambda one: (-counts[one], one))[:most]
    units = sorted([*often, *(_INSIDE + character for character in often if character in inside)])
    return {unit: chr(_FIRST_LETTER + place) for place, unit in enumerate(units)}


def _merged(words: Mapping[str, int], alphabet: Iterable[str], learning: Learning) -> dict[str, Any]:
    """Return what the library learns from words: `vocab`, from tokens to ids, and `merges`, in order.

    Ids are those of special tokens, then of the alphabet by code point, then of merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=learning.vocabulary,
        min_frequency=_LEAST_COUNT,
        special_tokens=learning.special_tokens,
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    """Yield every word as often as it occurs, many in a text: the library counts words itself."""
    for word, count in sorted(words.items()):
        for start in range(0, count, _REPEATS):
            yield " ".join([word] * min(_REPEATS, count - start))
