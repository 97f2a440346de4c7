"""Reads a page of `maskloom inspect --html`."""

import base64
from collections import defaultdict
from html.parser import HTMLParser

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>{{ 7 * 7 }}</pre><a href=javascript:alert(3)>&lt;"
VOID = {"meta", "img", "input", "rect", "path", "line", "br"}


class Page(HTMLParser):
    """The elements of a page, the cards with their fields, and all text; every element has to be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.cards: dict[str, dict[str, list[tuple[str, dict[str, str]]]]] = {}
        self.card_text: dict[str, str] = defaultdict(str)
        self.text = ""
        self.code: dict[str, str] = defaultdict(str)
        self._key = self._field = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "article":
            self._key, self._field = attributes["aria-label"].removeprefix("Sample "), ""
            self.cards[self._key] = {}
        elif "data-field" in attributes:
            self._field = attributes["data-field"]
            self.cards[self._key][self._field] = []
        elif self._field:
            self.cards[self._key][self._field].append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag == "section":
            self._field = ""
        if tag == "article":
            self._key = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.code[self.open[-1]] += data
            return
        self.text += data
        if self._key:
            self.card_text[self._key] += data

    def found(self, key: str, field: str, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.cards[key][field] if name == tag]


def payload(uri: str) -> bytes:
    return base64.b64decode(uri.partition("base64,")[2])
