"""The cards of a page: one sample each, with everything it holds, or a word about why something cannot be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.inspect import wording
from pipelines.inspect.allowance import Allowance
from pipelines.inspect.examined import class_name
from pipelines.inspect.panels import PANELS, Held, Panel, note, panel_or_note
from pipelines.inspect.targets.viewer import TargetViewer
from shards.dataset import Dataset
from shards.errors import MaskloomError, MissingFieldError
from shards.sample import Sample
from shards.schema import ABSENT, LABEL, fact_columns, in_order

MAX_SHOWN_BYTES = 256_000_000
"""Largest member, or run of frames, that is read to be shown."""
_MAX_NAME = 300

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A field, or a stored target, on a card: its name, kind, panel, and in a few words what it is."""

    name: str
    kind: str
    line: str
    panel: Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A sample as a page shows it.

    Args:
        number: Its number in the dataset.
        key: Its key; empty where not even the index can be read.
        label: The name of its class, if it has one.
        group: What it belongs to; empty for a sample of its own.
        place: Where it stands in its group, or -1.
        source: Where it came from.
        licence: Its licence, if known.
        fields: What it holds, in the order of the kinds.
        targets: What teachers said about it.
        facts: Everything that the index knows of it, by column.
        problem: Why it cannot be shown at all; empty if it can.
    """

    number: int
    key: str = ""
    label: str | None = None
    group: str = ""
    place: int = -1
    source: str = ""
    licence: str | None = None
    fields: tuple[Shown, ...] = ()
    targets: tuple[Shown, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def make_cards(
    dataset: Dataset, ids: npt.NDArray[np.int64], allowance: Allowance, viewers: Sequence[TargetViewer] = ()
) -> Iterator[Card]:
    """Yield the cards of samples. Damage is shown on the card that it concerns and raises nothing.

    Args:
        dataset: The dataset.
        ids: Numbers of the samples.
        allowance: How many bytes their media may take.
        viewers: What shows stored targets, each of them on every card.
    """
    for number in ids.tolist():
        allowance.open_share()
        try:
            yield _card(dataset, number, allowance, viewers)
        except MaskloomError as error:
            yield Card(number=number, problem=str(error))


def _card(dataset: Dataset, number: int, allowance: Allowance, viewers: Sequence[TargetViewer]) -> Card:
    known = _Row(dataset=dataset, number=number)
    fields = {
        name: kind for name, kind in in_order(dataset.manifest.kinds.items()).items() if known[f"{name}.size"] >= 0
    }
    facts = {name: known.facts(name, kind) for name, kind in fields.items()}
    label, licence = facts.get(LABEL, {}).get("", ABSENT), known["licence"]
    return Card(
        number=number,
        key=known["key"],
        label=class_name(dataset.manifest.classes, label) if label >= 0 else None,
        group=wording.clipped(known["group"], _MAX_NAME),
        place=known["place"],
        source=wording.clipped(known["source"], _MAX_NAME),
        licence=None if licence is None else wording.clipped(licence, _MAX_NAME),
        fields=tuple(
            Shown(
                name=name,
                kind=kind,
                line=_line(kind, facts[name], known[f"{name}.size"]),
                panel=_panel(known, name, kind, facts[name], allowance),
            )
            for name, kind in fields.items()
            if kind != "label"
        ),
        targets=tuple(
            Shown(
                name=viewer.name,
                kind="target",
                line=viewer.line,
                panel=panel_or_note(partial(viewer.panel, number, allowance)),
            )
            for viewer in viewers
        ),
        facts=tuple(
            (f"{name}.{fact}" if fact else name, wording.fact(value))
            for name, values in facts.items()
            for fact, value in values.items()
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What the index says about one sample, and the way to its members."""

    dataset: Dataset
    number: int

    def __getitem__(self, column: str) -> Any:  # noqa: ANN401 - whatever a column of the index may hold
        return self.dataset.column(np.array([self.number]), column).tolist()[0]

    def facts(self, name: str, kind: str) -> dict[str, Any]:
        """Return the facts of a field by their bare names; the empty name is the field's own column."""
        facts = {}
        for column in fact_columns(name, kind):
            with suppress(MissingFieldError):  # an index from before the fact was added has no such column
                facts[column.removeprefix(name).removeprefix(".")] = self[column]
        return facts

    def read(self, name: str) -> Sample:
        """Read one field, checked against its digest."""
        return self.dataset.read(np.array([self.number]), [name])[0]


def _panel(known: _Row, name: str, kind: str, facts: Facts, allowance: Allowance) -> Panel:
    if known[f"{name}.size"] > MAX_SHOWN_BYTES:
        return note(f"Too large to be shown: {wording.size(known[f'{name}.size'])}.")

    def made() -> Panel:
        sample = known.read(name)
        held = Held(
            key=sample.key,
            name=name,
            data=sample.fields.get(name, b""),
            frames=sample.frames.get(name, ()),
            facts=facts,
        )
        return PANELS[kind](held, allowance)

    return panel_or_note(made)


def _line(kind: str, facts: Facts, num_bytes: int) -> str:
    """Say in a few words what a field is, from facts alone; facts that nobody knows are left out."""
    known = {fact: value for fact, value in facts.items() if _is_known(value)}
    sides = [f"{known['width']} x {known['height']}"] if {"width", "height"} <= known.keys() else []
    counted = [f"{known['count']:,} {'points' if kind == 'points' else 'frames'}"] if "count" in known else []
    others = [say(known[fact]) for fact, say in _WORDS.items() if fact in known]
    return " · ".join([*sides, *counted, *filter(None, others), wording.size(num_bytes)])


def _is_known(value: Any) -> bool:  # noqa: ANN401 - whatever a column of the index may hold
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and value != ABSENT


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "format": str,
    "channels": lambda count: "" if count == 1 else f"{count} channels",
    "dtype": str,
    "seconds": wording.seconds,
    "fps": lambda rate: f"{rate:.3g} frames/s",
    "rate": lambda rate: f"{rate / 1000:g} kHz",
    "peak_db": lambda level: f"peak {level:.1f} dB",
    "source_format": lambda name: f"from {name}",
    "captions": lambda count: "" if count == 1 else f"{count} captions",
    "characters": lambda count: f"{count:,} characters",
}
"""How the facts are said that stand above a panel, in their order there."""
