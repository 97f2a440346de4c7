"""A tokenizer without a vocabulary file: bytes are tokens."""

from collections.abc import Iterable
from dataclasses import dataclass

from shards.errors import SettingsError

_SPECIAL_NAMES = ("[PAD]", "[SOS]", "[EOS]", "[MASK]")
_NUM_SPECIAL = len(_SPECIAL_NAMES)
_NUM_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class ByteTokenizer:
    """The bytes of a text in UTF-8, each one token, between the marks of its beginning and end.

    Any text in any language can be encoded and comes back unchanged (Xue et al., ByT5, arXiv:2105.13626). Ids: 0 padding,
    1 begin, 2 end, 3 mask, then byte b as 4 + b, then the sentinels, which stand for spans that were cut out.

    Args:
        sentinels: How many sentinels there are.

    Raises:
        SettingsError: Their number is negative.
    """

    sentinels: int = 100

    def __post_init__(self) -> None:
        if self.sentinels < 0:
            raise SettingsError(f"A tokenizer with {self.sentinels} sentinels was asked for; give 0 or more.")

    @property
    def vocabulary(self) -> int:
        """How many ids there are, special ones included."""
        return _NUM_SPECIAL + _NUM_BYTES + self.sentinels

    @property
    def padding_id(self) -> int:
        """The id that fills a text up to its length."""
        return 0

    @property
    def begin_id(self) -> int:
        """The id before the first byte."""
        return 1

    @property
    def end_id(self) -> int:
        """The id after the last byte."""
        return 2

    @property
    def mask_id(self) -> int:
        """The id that stands for a byte that is to be guessed."""
        return 3

    @property
    def sentinel_ids(self) -> range:
        """The ids of the sentinels, in order."""
        return range(_NUM_SPECIAL + _NUM_BYTES, self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, from begin to end."""
        return [self.begin_id, *(_NUM_SPECIAL + byte for byte in text.encode()), self.end_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the bytes among `ids`; special ids are left out.

        Bytes that are no UTF-8, as where a character was cut in two, become U+FFFD.
        """
        places = (number - _NUM_SPECIAL for number in ids)
        return bytes(place for place in places if 0 <= place < _NUM_BYTES).decode(errors="replace")

    def names(self, ids: Iterable[int]) -> list[str]:
        """Return what each id is called: the letter of a byte of ASCII, `<0xC3>` for others, `[S_0]` for the first sentinel.

        A space is `␣`.
        """
        return [self._name(number) for number in ids]

    def _name(self, number: int) -> str:
        if number < _NUM_SPECIAL:
            return _SPECIAL_NAMES[number]
        byte = number - _NUM_SPECIAL
        if byte >= _NUM_BYTES:
            return f"[S_{byte - _NUM_BYTES}]"
        letter = chr(byte)
        if letter == " ":
            return "␣"
        return letter if letter.isascii() and letter.isprintable() else f"<0x{byte:02X}>"
