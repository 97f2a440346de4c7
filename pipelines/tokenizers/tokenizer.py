"""What a tokenizer is."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class TextTokenizer(Protocol):
    """Turns a text into token ids."""

    @property
    def vocabulary(self) -> int:
        """How many ids there are, special ones included."""
        ...

    @property
    def padding_id(self) -> int:
        """The id that fills a text up to its length."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, with the marks of its beginning and end if there are any."""
        ...

    def names(self, ids: Iterable[int]) -> list[str]:
        """Return what each id is called: the piece of text that it stands for, or the name of a mark."""
        ...
