"""What `maskloom inspect` shows is what the dataset holds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipelines import commands
from pipelines.inspect import class_name, contact_sheet, examined_ids, label_counts, reject_examples, spreads
from shards.dataset import Dataset
from shards.manifest import Origin, seal
from shards.sample import Sample
from shards.schema import RejectReason
from shards.shard_writer import ShardWriter, raw_sha256

CLASSES = ("blue", "red")


def _png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Seven red pictures and three blue ones of growing width, and two rejects."""
    with ShardWriter(tmp_path, shard=0, plan_id="p", fields=("image", "label")) as writer:
        for number in range(10):
            label = int(number < 7)
            fields = {
                "image": _png(20 + number, 30, ((255, 0, 0) if label else (0, 0, 255))),
                "label": str(label).encode(),
            }
            facts = {"image.format": "png", "image.width": 20 + number, "image.height": 30, "label": label}
            writer.add(
                Sample(f"key-{number}", fields, facts),
                extensions={"image": "png", "label": "cls"},
                sha256={name: raw_sha256(data) for name, data in fields.items()},
                source=f"picture {number}",
                licence="CC0",
            )
        for name in ("a", "b"):
            writer.reject(f"key-{name}", source=name, reason=RejectReason.EMPTY_FILE, detail="no bytes")
        writer.commit()
    origin = Origin(
        plan_id="p",
        source="a test",
        settings={},
        software={},
        classes=CLASSES,
        num_items=12,
        num_shards=1,
        ignored={".md": 1},
    )
    seal(tmp_path, origin)
    return Dataset.open(tmp_path)


def test_distributions_are_those_of_the_pictures(dataset: Dataset) -> None:
    widths = spreads(dataset)["image.width"]
    assert (widths.least, widths.median, widths.most) == (20, 24.5, 29)
    assert spreads(dataset)["image.height"].least == 30


def test_classes_are_counted_by_name(dataset: Dataset) -> None:
    assert label_counts(dataset) == {"red": 7, "blue": 3}


def test_a_label_without_a_name_is_shown_as_its_number() -> None:
    assert [class_name(None, 3), class_name(CLASSES, 1), class_name(CLASSES, -1)] == ["3", "red", "none"]


def test_examples_of_rejects_say_which_and_why(dataset: Dataset) -> None:
    assert reject_examples(dataset, per_reason=1) == {"empty_file": [("a", "no bytes")]}


def test_examined_samples_span_the_dataset(dataset: Dataset) -> None:
    assert examined_ids(dataset, 3).tolist() == [0, 4, 9]
    assert examined_ids(dataset).tolist() == list(range(10))


def test_the_contact_sheet_shows_every_picture(dataset: Dataset) -> None:
    pixels = np.asarray(contact_sheet(dataset, columns=5, rows=2))
    reds = ((pixels[..., 0] > 200) & (pixels[..., 1] < 50)).sum()
    blues = ((pixels[..., 2] > 200) & (pixels[..., 1] < 50)).sum()
    assert (reds, blues) == (7 * 128 * 128, 3 * 128 * 128)


def test_the_command_prints_counts_rejects_and_where_the_sheet_is(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(commands, "console", Console(file=written, width=200, soft_wrap=True))
    commands.inspect(dataset.root)
    output = written.getvalue()
    for expected in ("12 items = 10 samples", "rejected, empty_file: 2", "b: no bytes", ".md: 1", "CC0: 10", "red 7"):
        assert expected in output
    assert (dataset.root / "inspect" / "contact_sheet.png").exists()
