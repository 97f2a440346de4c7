"""Tokenizers that were learned from texts and stand in a file of the `tokenizers` library."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipelines.tokenizers.splitting import Kind, splitting_as_json
from pipelines.tokenizers.word_cache import PLAIN, WordCache
from shards.errors import SettingsError, did_you_mean

_NAMES = {
    "padding": ("[PAD]", "<pad>"),
    "unknown": ("[UNK]", "<unk>"),
    "begin": ("[SOS]", "[CLS]", "[BOS]", "<s>"),
    "end": ("[EOS]", "[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
"""Roles of special tokens, and what they are called by maskloom and 4M, BERT, and RoBERTa."""

_MOST_IDS = 1 << 24

_MAKE_ONE = "`maskloom tokenizer DATASET --kind wordpiece --out captions.json` makes one."


@dataclass(frozen=True, kw_only=True)
class LearnedTokenizer:
    """The tokenizer in a file that `maskloom tokenizer` wrote, or any `tokenizer.json` with a padding token.

    Ids are those of `tokenizers.Tokenizer.from_file(path)`, truncated to `longest` if that is given. Like there, a text in
    which the name of a special token is spelled out gets its id. What is special is told by its name: `[PAD]`, `[UNK]`,
    `[SOS]` or `[CLS]`, `[EOS]` or `[SEP]`, `[MASK]`, and sentinels `[S_0]`, `[S_1]` and so on.

    The file is read when the tokenizer is made; processes that it is sent to read it again, and refuse another one.

    Args:
        path: The file.
        longest: The most ids of a text, marks included. A longer text is cut so that its last id is still the end; give it
            the length of the modality, which knows no marks. None cuts nothing.

    Attributes:
        sha256: The digest of the file, in hexadecimal digits: what run cards record.

    Raises:
        SettingsError: There is no such file, it holds no tokenizer or one without padding, or `longest` leaves no room for
            a token.
    """

    path: str
    longest: int | None = None
    sha256: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", sha256(_read(self.path)).hexdigest())
        num_marks = len(self._codec.before) + len(self._codec.after)
        if self.longest is not None and self.longest <= num_marks:
            raise SettingsError(
                f"Texts of at most {self.longest} ids were asked for, {num_marks} of which are the marks of {self.path}; "
                f"give at least {num_marks + 1}."
            )

    @property
    def _codec(self) -> "_Codec":
        return _open(self.path, self.sha256)

    @property
    def vocabulary(self) -> int:
        """How many ids there are, special ones included."""
        return len(self._codec.names)

    @property
    def padding_id(self) -> int:
        """The id that fills a text up to its length."""
        return self._special("padding")

    @property
    def unknown_id(self) -> int:
        """The id of what no token stands for; byte pairs never need it. Raises SettingsError if there is none."""
        return self._special("unknown")

    @property
    def begin_id(self) -> int:
        """The id before the first token; raises SettingsError if there is none."""
        return self._special("begin")

    @property
    def end_id(self) -> int:
        """The id after the last token; raises SettingsError if there is none."""
        return self._special("end")

    @property
    def mask_id(self) -> int:
        """The id that stands for a token that is to be guessed; raises SettingsError if there is none."""
        return self._special("mask")

    @property
    def sentinel_ids(self) -> Sequence[int]:
        """The ids of the sentinels, which stand for spans that were cut out, in order."""
        return self._codec.sentinels

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, with the marks that the file asks for, `longest` at most."""
        codec = self._codec
        ids = codec.cache.encode(text) if codec.is_word_by_word else codec.encode(text)
        if self.longest is not None:
            del ids[self.longest - len(codec.before) - len(codec.after) :]
        return [*codec.before, *ids, *codec.after]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, as far as normalisation has left it; special ids are left out."""
        return self._codec.decode(ids)

    def names(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids as they stand in the file: `dog`, `##s`, `Ġdog`."""
        return [self._codec.names[number] for number in ids]

    def _special(self, role: str) -> int:
        found = self._codec.special.get(role)
        if found is None:
            raise SettingsError(
                f"The tokenizer {self.path} has no special token for {role}: none of {', '.join(_NAMES[role])} is in there."
            )
        return found


class _Codec:
    """A tokenizer of the library at work."""

    def __init__(self, tokenizer: Tokenizer, described: Any) -> None:  # noqa: ANN401 - JSON
        ids = tokenizer.get_vocab()
        _require_sound(described["model"], tokenizer.get_vocab(with_added_tokens=False))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.names = [""] * (max(ids.values(), default=-1) + 1)
        for name, number in ids.items():
            self.names[number] = name
        self.special = {
            role: next(ids[name] for name in names if name in ids)
            for role, names in _NAMES.items()
            if not ids.keys().isdisjoint(names)
        }
        self.sentinels = _sentinels(ids)
        self.before, self.after = _marks(tokenizer)
        if max((*self.before, *self.after), default=0) >= len(self.names):
            raise ValueError(f"it marks texts with the ids {self.before} and {self.after}, which are no tokens")
        self.is_word_by_word = _is_word_by_word(described)
        self.cache = WordCache(self.encode)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without marks."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()


@lru_cache(maxsize=8)
def _open(path: str, digest: str) -> _Codec:
    """Return the codec of a file, as this process keeps it.

    Raises:
        SettingsError: The file is another one than it was, or holds no tokenizer, or one without padding.
    """
    data = _read(path)
    if sha256(data).hexdigest() != digest:
        raise SettingsError(
            f"The tokenizer {path} was changed while it was in use: its sha256 was {digest}, and is "
            f"{sha256(data).hexdigest()} now. Write new tokenizers to new files."
        )
    try:
        text = data.decode()
        codec = _Codec(Tokenizer.from_str(text), json.loads(text))
    except BaseException as error:  # the library raises Exception itself, and what it stumbles over is none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise SettingsError(f"{path} holds no tokenizer of the `tokenizers` library: {error}. {_MAKE_ONE}") from error
    if "padding" not in codec.special:
        raise SettingsError(
            f"The tokenizer {path} has no token for padding, {' or '.join(_NAMES['padding'])}: texts of a batch could not be "
            f"filled up to one length. {_MAKE_ONE}"
        )
    return codec


def _read(path: str) -> bytes:
    """Return the bytes of a file."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        folder = Path(path).parent
        others = [str(other) for other in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        raise SettingsError(
            f"The tokenizer {path} cannot be read: {error.strerror or error}. {_MAKE_ONE}{did_you_mean(path, others)}"
        ) from error


def _require_sound(model: Any, ids: dict[str, int]) -> None:  # noqa: ANN401 - JSON
    """Raise ValueError for a model with `ids` that would fail later, or do as chance will have it."""
    if model.get("dropout"):
        raise ValueError("it drops pairs by chance, so that a text has no ids of its own")
    if model.get("unk_token") is not None and model["unk_token"] not in ids:
        raise ValueError(f"its unknown token '{model['unk_token']}' is not in its vocabulary")
    if max(ids.values(), default=0) >= _MOST_IDS:
        raise ValueError(f"it has {len(ids)} tokens, and one of them the id {max(ids.values())}")


def _sentinels(ids: dict[str, int]) -> tuple[int, ...]:
    """Return the ids of `[S_0]`, `[S_1]`, ..., as many as follow each other."""
    found: list[int] = []
    while (name := f"[S_{len(found)}]") in ids:
        found.append(ids[name])
    return tuple(found)


def _marks(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids that are put before and after every text."""
    bare = len(tokenizer.encode("a", add_special_tokens=False).ids)
    if not bare:
        raise ValueError("it has no token for the letter a")
    marked = tokenizer.encode("a")
    before = next((place for place, mark in enumerate(marked.special_tokens_mask) if not mark), 0)
    return marked.ids[:before], marked.ids[before + bare :]


def _is_word_by_word(described: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether the ids of a plain text are those of its words, put together.

    So it is for BERT's splits and those that maskloom learns with, if no added token can be part of a plain text.
    """
    normalises, splits = described["normalizer"] or {}, described["pre_tokenizer"] or {}
    is_bert = (normalises.get("type"), splits.get("type")) == ("BertNormalizer", "BertPreTokenizer")
    is_learned = any(
        (normalises, splits) == splitting_as_json(kind, is_lower) for kind in Kind for is_lower in (True, False)
    )
    return (is_bert or is_learned) and not any(PLAIN.fullmatch(token["content"]) for token in described["added_tokens"])
