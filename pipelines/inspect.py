"""Looks into a dataset: distributions from the index, examples of rejects, and a contact sheet of pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw

from pipelines.transforms.image import decode_image, render
from pipelines.views import CenterCrop
from shards.dataset import Dataset
from shards.index import ArrowTable
from shards.receipt import read_receipt
from shards.sample import Sample

MAX_EXAMINED = 10_000
"""Samples that distributions are taken from, spread evenly; all of them in smaller datasets."""
_THUMBNAIL, _CAPTION, _MARGIN = 128, 14, 4
_BACKGROUND, _INK = (250, 250, 250), (40, 40, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Smallest, 5th percentile, median, 95th percentile and largest of a fact."""

    least: float
    low: float
    median: float
    high: float
    most: float

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Spread:
        """Summarise values."""
        least, low, median, high, most = np.percentile(values, [0, 5, 50, 95, 100]).tolist()
        return cls(least=least, low=low, median=median, high=high, most=most)


def examined_ids(dataset: Dataset, count: int = MAX_EXAMINED) -> npt.NDArray[np.int64]:
    """Return up to `count` sample numbers, spread evenly over the dataset."""
    return np.unique(np.linspace(0, dataset.num_samples - 1, min(count, dataset.num_samples)).astype(np.int64))


def spreads(dataset: Dataset) -> dict[str, Spread]:
    """Return how widths, heights, caption lengths and encoded sizes are spread; absent members are left out."""
    ids = examined_ids(dataset)
    names = [
        name
        for field, facts in (("image", ("image.width", "image.height")), ("text", ("text.characters",)))
        if field in dataset.manifest.fields
        for name in (*facts, f"{field}.size")
    ]
    columns = {name: dataset.column(ids, name) for name in names}
    return {name: Spread.of(values[values >= 0]) for name, values in columns.items() if (values >= 0).any()}


def label_counts(dataset: Dataset) -> Counter[str]:
    """Return how often each class occurs among the examined samples; empty for a dataset without labels."""
    if "label" not in dataset.manifest.fields:
        return Counter()
    classes = dataset.manifest.classes
    labels = dataset.column(examined_ids(dataset), "label").tolist()
    return Counter(class_name(classes, label) for label in labels)


def class_name(classes: tuple[str, ...] | None, label: int) -> str:
    """Return the name of a label: the class, the number where classes have no names, `none` for -1."""
    if label < 0:
        return "none"
    return classes[label] if classes is not None else str(label)


def reject_examples(dataset: Dataset, per_reason: int = 3) -> dict[str, list[tuple[str, str]]]:
    """Return, for every reason, source and detail of a few rejected items."""
    examples: dict[str, list[tuple[str, str]]] = {reason: [] for reason in dataset.manifest.rejects}
    for shard in range(dataset.manifest.num_shards):
        wanting = {reason for reason, found in examples.items() if len(found) < per_reason}
        if not wanting:
            break
        receipt = read_receipt(dataset.root, shard)
        if not wanting & set(receipt.rejects):
            continue
        for row in ArrowTable(dataset.root / receipt.files["rejects"].path).rows():
            if len(examples[row["reason"]]) < per_reason:
                examples[row["reason"]].append((row["source"], row["detail"]))
    return examples


def contact_sheet(dataset: Dataset, *, columns: int = 10, rows: int = 6) -> Pillow.Image:
    """Draw a grid of pictures from all over the dataset, each above its class or the start of its caption."""
    fields = [name for name in ("image", "text", "label") if name in dataset.manifest.fields]
    samples = dataset.read(examined_ids(dataset, columns * rows), fields)
    rows = -(-len(samples) // columns)
    cell_width, cell_height = _THUMBNAIL + _MARGIN, _THUMBNAIL + _CAPTION + _MARGIN
    sheet = Pillow.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, sample in enumerate(samples):
        left, top = _MARGIN + place % columns * cell_width, _MARGIN + place // columns * cell_height
        if "image" in sample.fields:
            sheet.paste(_thumbnail(sample), (left, top))
        draw.text((left, top + _THUMBNAIL), _legend(dataset, sample), fill=_INK)
    return sheet


def _thumbnail(sample: Sample) -> Pillow.Image:
    pixels = decode_image(sample.fields["image"])
    view = CenterCrop(size=_THUMBNAIL).view(sample.key, 0, height=pixels.shape[0], width=pixels.shape[1], seed=0)
    return Pillow.fromarray(render(pixels, view).permute(1, 2, 0).contiguous().numpy())


def _legend(dataset: Dataset, sample: Sample) -> str:
    """Return what to write under a picture, in characters that the built-in font has."""
    if "label" in sample.facts and sample.facts["label"] >= 0:
        words = class_name(dataset.manifest.classes, sample.facts["label"])
    else:
        words = sample.fields.get("text", b"").decode()
    return words.encode("ascii", "replace").decode()[:21]


def write_contact_sheet(dataset: Dataset, folder: Path) -> Path:
    """Draw the contact sheet into `folder/contact_sheet.png` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "contact_sheet.png"
    contact_sheet(dataset).save(path)
    return path
