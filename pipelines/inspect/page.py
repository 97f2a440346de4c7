"""The page about a dataset: one HTML file that needs nothing from outside and sends nothing there."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pipelines.inspect import wording
from pipelines.inspect.allowance import Allowance
from pipelines.inspect.cards import make_cards
from pipelines.inspect.charts import Count, counts_by_name, histogram, in_words
from pipelines.inspect.colours import MAGMA, VIRIDIS
from pipelines.inspect.examined import Examined, class_name, examine, examined_ids
from pipelines.inspect.rejects import reject_examples
from pipelines.inspect.targets.listing import Listed, list_targets
from pipelines.inspect.targets.viewer import MAX_TARGETS, TargetViewer, Tokenizers, target_viewers
from shards.dataset import Dataset, Ids
from shards.schema import in_order
from shards.storage import storage_errors

MAX_PAGE_BYTES = 15_000_000
"""Largest page. Samples that do not fit are left out, and the page says so."""
MAX_SAMPLES = 400

_FOR_MEDIA = 12_500_000
_MOST_BARS, _MOST_FIELDS, _MOST_HISTOGRAMS, _MOST_LISTED, _MOST_SETTINGS, _MAX_NAME = 40, 64, 80, 64, 20_000, 300
_NO_TOKENIZERS: Tokenizers = MappingProxyType({})


def write_page(dataset: Dataset, path: Path, *, samples: int = 48, tokenizers: Tokenizers = _NO_TOKENIZERS) -> Path:
    """Write the page about a dataset, or about the split that was opened, to `path`, and return it.

    Nothing that grows with the dataset is read: the manifest, index rows of up to 10,000 samples, and the samples that are
    shown. Everything that the dataset says is escaped; besides, the page forbids itself network access and foreign scripts.

    Args:
        dataset: The dataset.
        path: The file to write.
        samples: How many samples are shown, evenly spread over the dataset; at most 400.
        tokenizers: What stored ids may be turned back with. Nothing is loaded from where a target says that it came from.

    Raises:
        StorageError: The file cannot be written.
    """
    page = render_page(dataset, samples=min(samples, MAX_SAMPLES), tokenizers=tokenizers)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.encode("utf-8", "replace"))
    return path


def render_page(dataset: Dataset, *, samples: int, tokenizers: Tokenizers = _NO_TOKENIZERS) -> str:
    """Return the page about a dataset as HTML of at most 15 million bytes."""
    templates = _templates()
    style, script = (
        templates.get_template(name).render(viridis=VIRIDIS, magma=MAGMA) for name in ("page.css", "page.js")
    )
    targets = list_targets(dataset)
    head = _head(dataset, targets)
    examined = examine(dataset) if dataset.num_samples else None
    parts = head | {
        "style": Markup(style),
        "script": Markup(script),
        "policy": _policy(style=style, script=script),
        "distributions": _distributions(examined) if examined else None,
        "classes": _classes(dataset, examined) if examined else None,
        "rejects": _rejects(dataset),
    }
    page = templates.get_template("page.html")
    frame = len(page.render(parts, cards=(), num_left_out=0).encode("utf-8", "replace"))
    ids = examined_ids(dataset, samples)
    viewers = target_viewers(dataset, targets, ids, tokenizers)
    cards, num_left_out = _cards(dataset, ids, viewers, templates, room=MAX_PAGE_BYTES - frame - 1000)
    return page.render(parts, cards=cards, num_left_out=num_left_out)


def _templates() -> Environment:
    """Return the templates of the page; what comes from a dataset is escaped in all of them."""
    environment = Environment(
        loader=PackageLoader("pipelines.inspect"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": wording.number, "size": wording.size}
    return environment


def _policy(*, style: str, script: str) -> str:
    """Return a policy under which the browser loads nothing but embedded media and runs nothing but this very script."""
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (style, script)]
    return (
        "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )


def _cards(
    dataset: Dataset, ids: Ids, viewers: Sequence[TargetViewer], templates: Environment, *, room: int
) -> tuple[list[Markup], int]:
    """Return cards as HTML, as many as fit into `room` bytes, and how many did not."""
    template, cards = templates.get_template("card.html"), []
    for card in make_cards(dataset, ids, Allowance(_FOR_MEDIA, shares=len(ids)), viewers):
        html = template.render(card=card)
        room -= len(html.encode("utf-8", "replace"))
        if room < 0:
            break
        cards.append(Markup(html))
    return cards, len(ids) - len(cards)


def _head(dataset: Dataset, targets: Sequence[Listed]) -> dict[str, Any]:
    manifest = dataset.manifest
    fields = in_order(manifest.kinds.items())
    return {
        "name": wording.clipped(dataset.root.resolve().name or str(dataset.root), _MAX_NAME),
        "split": dataset.split,
        "source": wording.clipped(manifest.source, 2000),
        "manifest": manifest,
        "num_samples": dataset.num_samples,
        "num_bytes": sum(field.bytes for field in manifest.fields.values()),
        "fields": [(name, manifest.fields[name]) for name in list(fields)[:_MOST_FIELDS]],
        "num_more_fields": max(0, len(fields) - _MOST_FIELDS),
        "splits": counts_by_name({name: split.samples for name, split in manifest.splits.items()}, most=_MOST_BARS),
        "licences": counts_by_name(manifest.licences, most=_MOST_BARS),
        "ignored": counts_by_name(manifest.ignored, most=_MOST_BARS),
        "targets": targets[:_MOST_LISTED],
        "num_more_targets": max(0, len(targets) - _MOST_LISTED),
        "num_targets_without_panel": max(0, sum(target.sealed is not None for target in targets) - MAX_TARGETS),
        "settings": wording.clipped(json.dumps(manifest.settings, indent=2, ensure_ascii=False), _MOST_SETTINGS),
        "software": ", ".join(f"{name} {version}" for name, version in manifest.software.items()),
        "dataset_id": dataset.dataset_id,
    }


def _distributions(examined: Examined) -> dict[str, Any]:
    """Return histograms of what varies, and in words what is the same everywhere."""
    measures = list(examined.measures.items())[:_MOST_HISTOGRAMS]
    return {
        "histograms": [histogram(name, values) for name, values in measures if values.min() < values.max()],
        "constants": [
            (name, in_words(name, float(values[0]))) for name, values in measures if values.min() == values.max()
        ],
        "num_more": len(examined.measures) - len(measures),
        "num_samples": examined.num_samples,
        "num_unreadable": examined.num_unreadable,
        "num_grouped": sum(count for group, count in examined.groups.items() if group),
        "num_groups": sum(1 for group in examined.groups if group),
    }


def _classes(dataset: Dataset, examined: Examined) -> tuple[list[Count], int]:
    named = Counter[str]()
    for label, count in examined.labels.items():
        named[wording.clipped(class_name(dataset.manifest.classes, label), _MAX_NAME)] += count
    return counts_by_name(named, most=_MOST_BARS)


def _rejects(dataset: Dataset) -> list[dict[str, Any]]:
    """Return reasons, the most frequent first, each with its count and a few examples."""
    examples = reject_examples(dataset)
    counts, _ = counts_by_name(dataset.manifest.rejects, most=len(dataset.manifest.rejects))
    return [
        {
            "count": count,
            "examples": [(wording.clipped(source, _MAX_NAME), detail) for source, detail in examples[count.name]],
        }
        for count in counts
    ]
