"""What is said about a source before an ingest starts: how it was understood, and what a listing of it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ingest.items import Part, RawItem
from ingest.sources.addresses import printable_uri
from shards.storage import printable

_WIDTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that was understood: files or a column become a field.

    Args:
        found: Where the field comes from, for people: `*_depth.png`, `column 'caption'`.
        field: Name of the field or role.
        kind: Its kind; empty where each file's extension decides, and for roles that are no media.
    """

    found: str
    field: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """How a source was understood.

    Args:
        kind: What it is: `folder`, `table`, `WebDataset tars`.
        place: Where it is.
        items: What makes one item.
        labels: Where labels come from.
        rules: Which files or columns become which field; empty where extensions decide.
        notes: What else people should know: what is left out, what could be named.
    """

    kind: str
    place: str
    items: str
    labels: str
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The same in one sentence, for the manifest."""
        rules = "".join(f"; {rule.field} from {rule.found}" for rule in self.rules)
        return f"{self.kind} {self.place}: {self.items}{rules}; {self.labels}"

    def lines(self) -> Iterator[str]:
        """Yield the same line by line, for people."""
        yield f"{self.kind}: {self.place}"
        yield f"  one item is    {self.items}"
        yield f"  labels         {self.labels}"
        for rule in self.rules:
            yield f"  {rule.field:<14} {rule.found}{f' ({rule.kind})' if rule.kind else ''}"
        for note in self.notes:
            yield f"  note: {note}"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts the items of a listing on their way by.

    Args:
        most_shown: Items that are remembered to be shown, and problems of each reason.
    """

    most_shown: int = 5
    items: int = 0
    combinations: Counter[tuple[str, ...]] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    first: list[RawItem] = field(default_factory=list)
    details: dict[str, list[str]] = field(default_factory=dict)

    def watch(self, listing: Iterable[RawItem]) -> Iterator[RawItem]:
        """Yield the items as they come, and count them."""
        for item in listing:
            self._count(item)
            yield item

    def _count(self, item: RawItem) -> None:
        self.items += 1
        if item.problem is not None:
            reason, detail = item.problem
            self.problems[reason.value] += 1
            shown = self.details.setdefault(reason.value, [])
            if len(shown) < self.most_shown:
                shown.append(printable(detail))
            return
        self.combinations[_fields_of(item)] += 1
        if len(self.first) < self.most_shown:
            self.first.append(item)

    def lines(self, ignored: Mapping[str, int]) -> Iterator[str]:
        """Yield, line by line, what was counted and the first items.

        Args:
            ignored: What the source passed over, by kind.
        """
        yield f"{self.items:,} items:"
        for fields, count in self.combinations.most_common():
            yield f"  {count:>9,}  {' + '.join(fields) or 'nothing'}"
        for reason, count in self.problems.most_common():
            yield f"  {count:>9,}  rejected by the listing, {reason}: {'; '.join(self.details[reason][:1])}"
        for what, count in sorted(ignored.items(), key=lambda entry: (-entry[1], entry[0])):
            yield f"  {count:>9,}  not looked at, {printable(what)}"
        for item in self.first:
            yield from _item_lines(item)


def _fields_of(item: RawItem) -> tuple[str, ...]:
    said = [name for name, value in (("label", item.label), ("metadata", item.columns or None)) if value is not None]
    return (*(part.field for part in item.parts), *said)


def _item_lines(item: RawItem) -> Iterator[str]:
    yield printable(item.identity)
    for part in item.parts:
        yield f"  {part.field:<14} {part.kind:<8} {_place_of(part)}"
    said = {"label": item.label, "licence": item.licence, "group": item.group or None}
    for name, value in (*said.items(), *list(item.columns.items())[: _WIDTH // 3]):
        if value is not None:
            yield f"  {name:<14} {_short(printable(str(value)))}"


def _place_of(part: Part) -> str:
    if part.inline is not None:
        return _short(part.inline.decode("utf-8", "replace").replace("\n", " / "))
    where = printable_uri(part.uri)
    where += f"#{printable(part.member)}" if part.member else ""
    where += f" row {part.row} of {part.column}" if part.row >= 0 else ""
    if part.start_s is not None or part.end_s is not None:
        where += f" from {part.start_s or 0:g} s to {'the end' if part.end_s is None else f'{part.end_s:g} s'}"
    return where


def _short(text: str) -> str:
    return text if len(text) <= 5 * _WIDTH else f"{text[: 5 * _WIDTH]}..."
