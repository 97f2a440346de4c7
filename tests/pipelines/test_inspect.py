"""What `maskloom inspect` prints and draws is what the dataset holds."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipelines import commands
from pipelines.inspect.contact_sheet import contact_sheet, pictured_field, write_contact_sheet
from pipelines.inspect.examined import class_name, examine, examined_ids
from pipelines.inspect.page import render_page, write_page
from pipelines.inspect.rejects import reject_examples
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError
from shards.manifest import Origin, seal
from shards.sample import Provenance, Sample
from shards.schema import KINDS, RejectReason
from shards.shard_writer import Member, ShardWriter, raw_sha256
from shards.verify import verify
from tests.pipelines.many_kinds import FIELDS, Stored, audio, write_many_kinds
from tests.pipelines.stored_targets import PATCH, SIZE, TOKENS, drawn_ids, looked_at, saved_tokenizer, spec_of, store

CLASSES = ("blue", "red")


def _png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Seven red pictures and three blue ones of growing width, and two rejects."""
    declared = {"image": "image", "label": "label"}
    with ShardWriter(tmp_path, shard=0, plan_id="p", fields=declared) as writer:
        for number in range(10):
            label = int(number < 7)
            fields = {
                "image": _png(20 + number, 30, ((255, 0, 0) if label else (0, 0, 255))),
                "label": str(label).encode(),
            }
            facts = {"image.format": "png", "image.width": 20 + number, "image.height": 30, "label": label}
            members = {
                name: Member(extension={"image": "png", "label": "cls"}[name], sha256=raw_sha256(data))
                for name, data in fields.items()
            }
            provenance = Provenance(source=f"picture {number}", licence="CC0")
            writer.add(Sample(f"key-{number}", fields, facts), members, provenance)
        for name in ("a", "b"):
            writer.reject(f"key-{name}", source=name, reason=RejectReason.EMPTY_FILE, detail="no bytes")
        writer.commit()
    origin = Origin(
        plan_id="p",
        source="a test",
        settings={},
        software={},
        fields=declared,
        classes=CLASSES,
        num_items=12,
        num_shards=1,
        ignored={".md": 1},
    )
    seal(tmp_path, origin)
    return Dataset.open(tmp_path)


@pytest.fixture(scope="session")
def many_kinds(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight scenes in every kind of field; do not write into it."""
    return write_many_kinds(tmp_path_factory.mktemp("many kinds"))


def printed(monkeypatch: pytest.MonkeyPatch, dataset: str | Path, folder: Path, **options: Any) -> str:
    written = io.StringIO()
    monkeypatch.setattr(commands, "console", Console(file=written, width=200, soft_wrap=True))
    commands.inspect(Path(dataset), out=folder, **options)
    return written.getvalue()


def test_distributions_are_those_of_the_pictures(dataset: Dataset) -> None:
    spreads = examine(dataset).spreads()
    widths, aspects = spreads["image.width"], spreads["image.aspect"]
    assert (widths.least, widths.median, widths.most) == (20, 24.5, 29)
    assert spreads["image.height"].least == 30
    assert (aspects.least, aspects.most) == (30 / 29, 1.5)


def test_labels_are_counted(dataset: Dataset) -> None:
    assert examine(dataset).labels == {1: 7, 0: 3}


def test_facts_that_nobody_knows_have_no_distribution(dataset: Dataset) -> None:
    assert "image.contrast" not in examine(dataset).measures
    assert "image.width" in examine(dataset).measures


def test_a_negative_level_is_a_level_and_a_missing_field_is_none(tmp_path: Path) -> None:
    def quiet(stored: dict[str, Stored]) -> None:
        if "audio" in stored:
            stored["audio"] = audio(np.full(1600, 10 ** (-1 / 20)))

    levels = examine(write_many_kinds(tmp_path, samples=4, size=16, change=quiet)).measures["audio.peak_db"]
    assert len(levels) == 3  # sample 1 has no sound
    assert levels == pytest.approx([-1, -1, -1], abs=0.01)


def test_every_kind_but_labels_has_its_sizes_among_the_measures(many_kinds: Dataset) -> None:
    measures = examine(many_kinds).measures
    for name, kind in FIELDS.items():
        if kind != "label":
            assert measures[f"{name}.size"].min() > 0, name
    for name in ("video.seconds", "audio.rms_db", "points.count", "depth.channels", "text.captions", "image.contrast"):
        assert name in measures
    assert "image.phash" not in measures


def test_a_dataset_from_before_a_fact_was_added_is_read_and_shown_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {fact: data_type for fact, data_type in KINDS["text"].facts.items() if fact != "longest"}
    with monkeypatch.context() as before:
        before.setattr("shards.schema.KINDS", {**KINDS, "text": replace(KINDS["text"], facts=facts)})
        old = write_many_kinds(tmp_path)
    examined = examine(old)
    assert (examined.num_samples, examined.num_unreadable) == (8, 0)
    assert "text.captions" in examined.measures
    assert "text.longest" not in examined.measures
    page = write_page(old, tmp_path / "page.html", samples=8).read_text()
    assert "text.captions" in page
    assert "text.longest" not in page
    assert "text.captions" in old.read(np.array([0]), ["text"])[0].facts
    assert verify(old) == []
    with pytest.raises(MissingFieldError, match=r"no column 'text\.longest'"):
        old.column(np.array([0]), "text.longest")


def test_only_the_split_that_was_opened_is_examined(many_kinds: Dataset) -> None:
    assert examine(many_kinds).num_samples == 8
    assert examine(Dataset.open(f"{many_kinds.root}:val")).num_samples == 2


def test_samples_of_a_torn_index_are_counted_as_unreadable(tmp_path: Path) -> None:
    dataset = write_many_kinds(tmp_path, samples=4, size=16)
    index = dataset.shard_paths(1)[1]
    index.write_bytes(b"torn")
    examined = examine(dataset)
    assert (examined.num_samples, examined.num_unreadable) == (3, 1)


def test_a_label_without_a_name_is_shown_as_its_number() -> None:
    assert [class_name(None, 3), class_name(CLASSES, 1), class_name(CLASSES, 9)] == ["3", "red", "9"]
    assert class_name(CLASSES, -1) == "none"


def test_examples_of_rejects_say_which_and_why(dataset: Dataset) -> None:
    assert reject_examples(dataset, per_reason=1) == {"empty_file": [("a", "no bytes")]}


def test_examined_samples_span_the_dataset(dataset: Dataset) -> None:
    assert examined_ids(dataset, 3).tolist() == [0, 4, 9]
    assert examined_ids(dataset).tolist() == list(range(10))


def test_the_contact_sheet_shows_every_picture(dataset: Dataset) -> None:
    pixels = np.asarray(contact_sheet(dataset, "image", columns=5, rows=2))
    reds = ((pixels[..., 0] > 200) & (pixels[..., 1] < 50)).sum()
    blues = ((pixels[..., 2] > 200) & (pixels[..., 1] < 50)).sum()
    assert (reds, blues) == (7 * 128 * 128, 3 * 128 * 128)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"left": "image", "video": "frames"}, "left"),
        ({"video": "frames", "depth": "raster"}, "video"),
        ({"logmel": "logmel", "depth": "raster"}, "depth"),
        ({"text": "text", "points": "points"}, None),
    ],
)
def test_the_field_that_tells_people_most_is_on_the_contact_sheet(
    kinds: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    def rename(stored: dict[str, Stored]) -> None:
        everything = {FIELDS[name]: item for name, item in stored.items()}
        stored.clear()
        stored |= {name: everything[kind] for name, kind in kinds.items() if kind in everything}

    dataset = write_many_kinds(tmp_path, samples=4, size=32, change=rename, fields=kinds)
    assert pictured_field(dataset) == expected
    path = write_contact_sheet(dataset, tmp_path / "out")
    assert (path is None) == (expected is None)
    if path is not None:
        background = np.array(250)
        assert (np.asarray(Image.open(path)) != background).mean() > 0.5 * 3 / 40


def test_a_damaged_sample_is_marked_on_the_contact_sheet(tmp_path: Path) -> None:
    dataset = write_many_kinds(tmp_path, samples=4, size=16)
    offset = int(dataset.column(np.array([0]), "image.offset")[0])
    tar = dataset.shard_paths(0)[0]
    data = bytearray(tar.read_bytes())
    data[offset + 50] ^= 1
    tar.write_bytes(bytes(data))
    assert write_contact_sheet(Dataset.open(tmp_path), tmp_path / "out") is not None


def test_the_command_prints_counts_rejects_and_where_the_sheet_is(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = printed(monkeypatch, dataset.root, dataset.root / "inspect")
    for expected in ("12 items = 10 samples", "rejected, empty_file: 2", "b: no bytes", ".md: 1", "CC0: 10", "red 7"):
        assert expected in output
    assert (dataset.root / "inspect" / "contact_sheet.png").exists()
    assert not (dataset.root / "inspect" / "index.html").exists()


def test_the_command_prints_splits_groups_and_the_facts_of_all_kinds(
    many_kinds: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output = printed(monkeypatch, many_kinds.root, tmp_path)
    for expected in (
        "splits: train 6, val 2",
        "8 of 8 samples belong to 4 groups",
        "audio.peak_db",
        "points.count 512",
    ):
        assert expected in output
    assert "shown below: val" in printed(monkeypatch, f"{many_kinds.root}:val", tmp_path)


def test_the_command_and_the_page_say_how_a_target_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = looked_at(tmp_path / "dataset", "image")
    store(dataset, spec_of((TOKENS, 4)), lambda key, k: np.ones((TOKENS, 4)))
    spec = spec_of((TOKENS,), dtype="uint16", weights_sha256="0123456789abcdef" * 4, vocabulary=50)
    store(dataset, spec, drawn_ids)
    output, page = printed(monkeypatch, dataset.root, tmp_path), render_page(dataset, samples=1)
    for words in (
        f"patch={PATCH}, size={SIZE}",
        "2 views, RandomResizedCrop(",
        "flip_probability=0.5",
        "16 x 4 numbers",
        "16 ids below 50",
        "float16, 256 B a sample",
        "uint16, 64 B a sample",
        "cosine 0.999980 on average, 0.999100 at worst",
        "99.75 % of the ids equal",
        "sha256 0123456789ab",
    ):
        assert words in output
        assert words in page
    assert "blank samples: 1" in output
    assert "0123456789abc" not in output


def test_a_tokenizer_needs_a_page_and_is_named_if_no_target_was_made_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = looked_at(tmp_path / "dataset", "image")
    _, digest = saved_tokenizer(tmp_path / "tokenizer.safetensors")
    with pytest.raises(SettingsError, match="add --html"):
        printed(monkeypatch, dataset.root, tmp_path, tokenizer=[tmp_path / "tokenizer.safetensors"])
    output = printed(
        monkeypatch, dataset.root, tmp_path, tokenizer=[tmp_path / "tokenizer.safetensors"], html=True, samples=1
    )
    assert f"no target was made with the tokenizer of sha256 {digest[:12]}" in output
