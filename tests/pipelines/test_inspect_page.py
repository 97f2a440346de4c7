"""The page of `maskloom inspect --html` shows what the dataset holds, and nothing that a dataset says can act in it."""

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.inspect import page as page_module
from pipelines.inspect import panels
from pipelines.inspect.page import MAX_PAGE_BYTES, render_page, write_page
from shards.dataset import Dataset
from shards.manifest import Origin, seal
from shards.sample import Sample
from shards.schema import RejectReason
from shards.shard_reader import Row, ShardReader
from shards.shard_writer import ShardWriter
from tests.pipelines.html_page import ATTACK, Page, payload
from tests.pipelines.many_kinds import (
    CLASSES,
    FIELDS,
    NUM_FRAMES,
    Stored,
    image,
    metadata,
    raster,
    text,
    write_many_kinds,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight scenes in every kind of field; do not write into it."""
    return write_many_kinds(tmp_path_factory.mktemp("many kinds"))


@pytest.fixture(scope="module")
def page(dataset: Dataset) -> Page:
    return Page(render_page(dataset, samples=48))


def stored(dataset: Dataset, number: int, field: str) -> Sample:
    (sample,) = dataset.read(np.array([number]), [field])
    return sample


def test_every_field_of_every_sampled_key_is_shown(dataset: Dataset, page: Page) -> None:
    ids = np.arange(dataset.num_samples)
    assert list(page.cards) == dataset.keys(ids)
    for number, key in zip(ids, dataset.keys(ids), strict=True):
        held = {name for name in FIELDS if dataset.column(np.array([number]), f"{name}.size")[0] >= 0}
        assert set(page.cards[key]) == held - {"label"}, key
        if "label" in held:
            assert CLASSES[int(stored(dataset, number, "label").fields["label"])] in page.card_text[key]
    assert set(page.cards["scene-0001"]) == {"text"}
    assert "cannot" not in page.text.lower()
    assert "damaged" not in page.text.lower()


def test_sounds_and_clips_are_embedded_byte_for_byte(dataset: Dataset, page: Page) -> None:
    for number, key in enumerate(dataset.keys(np.arange(dataset.num_samples))):
        if number != 1:
            (player,), (video,) = page.found(key, "audio", "audio"), page.found(key, "mp4", "video")
            assert payload(player["src"]) == stored(dataset, number, "audio").fields["audio"]
            assert payload(video["src"]) == stored(dataset, number, "mp4").fields["mp4"]


def test_a_clip_is_shown_as_its_frames_with_their_times(page: Page) -> None:
    assert len(page.found("scene-0000", "video", "img")) == NUM_FRAMES
    (film,) = (item for item in page.found("scene-0000", "video", "div") if item["class"] == "film")
    assert [float(time) for time in film["data-times"].split(",")] == [number / 4 for number in range(NUM_FRAMES)]
    assert "1.75 s" in page.card_text["scene-0000"]


def test_a_cloud_carries_all_its_points_when_they_are_few(page: Page) -> None:
    (canvas,) = page.found("scene-0000", "points", "canvas")
    data = base64.b64decode(canvas["data-points"])
    assert int(canvas["data-count"]) == 512
    widths = [int(width) for width in canvas["data-widths"].split(",")]
    assert len(data) == 512 * (6 + sum(widths))
    assert widths[0] == 3  # the cloud has colours, and they come first


def test_words_of_a_sample_are_on_its_card(dataset: Dataset, page: Page) -> None:
    sample = stored(dataset, 2, "text")
    for caption in sample.fields["text"].decode().split("\n"):
        assert caption in page.card_text[sample.key]
    for words in ("pair-1, place 0", "0002.scene", "CC0-1.0", '"camera"', "audio.source_rate", "44,100", "5 channels"):
        assert words in page.card_text[sample.key]


def test_the_head_says_what_the_dataset_is(page: Page) -> None:
    for words in ("scenes of a small world", "9", "items listed", "train", "val", "frames", "segmentation", "Licences"):
        assert words in page.text
    for words in ("corrupt_image", "broken.jpg", "cut off after 120 bytes", ".md", "image_size", "maskloom 0.1.0"):
        assert words in page.text
    charts = {item["aria-label"].partition(":")[0] for tag, item in page.elements if tag == "svg" and "role" in item}
    assert {"audio.peak_db", "text.characters", "image.size", "image.contrast"} <= charts
    assert "points.count 512" in page.text  # what is the same everywhere is said, not drawn


def test_nothing_is_loaded_from_outside(page: Page) -> None:
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href", "formaction")
    ]
    assert addresses
    assert all(re.match(r"data:(image/webp|audio/flac|video/mp4);base64,|#[a-z]+$", address) for address in addresses)
    assert not re.search(r"url\(|@import|https?:", page.code["style"])
    assert not re.search(r"fetch|XMLHttp|WebSocket|import\(|https?:|innerHTML|eval\(", page.code["script"])


def test_the_policy_forbids_everything_but_the_script_and_style_of_the_page(page: Page) -> None:
    (policy,) = (
        attributes["content"]
        for _, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.code[kind].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in page.elements)


def test_what_a_dataset_says_cannot_become_markup(tmp_path: Path) -> None:
    def attack(fields: dict[str, Stored]) -> None:
        fields["text"] = text([f"caption {ATTACK}", f"another {ATTACK}"])
        fields["metadata"] = metadata({f"key {ATTACK}": f"value {ATTACK}"})

    hostile = render_page(write_many_kinds(tmp_path, samples=4, size=16, change=attack, suffix=ATTACK), samples=4)
    page = Page(hostile)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in page.elements)
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.elements)
    for said in ("caption ", "another ", ".scene", "pair-0", "CC0-1.0", "arch", "120 bytes", "small world", ".md"):
        assert f"{said}{ATTACK}" in page.text, said
    assert json.dumps(f"value {ATTACK}") in page.text


def test_damage_is_shown_on_the_card_and_nowhere_else(tmp_path: Path) -> None:
    dataset = write_many_kinds(tmp_path, samples=4, size=16)
    offset = int(dataset.column(np.array([2]), "image.offset")[0])
    tar = dataset.shard_paths(0)[0]
    data = bytearray(tar.read_bytes())
    data[offset + 50] ^= 1
    tar.write_bytes(bytes(data))
    page = Page(render_page(Dataset.open(tmp_path), samples=4))
    assert [key for key, words in page.card_text.items() if "Damaged" in words] == ["scene-0002"]
    assert page.found("scene-0002", "image", "img") == []
    assert len(page.found("scene-0002", "depth", "img")) == 1


def test_bytes_that_no_decoder_understands_are_named_on_the_card(tmp_path: Path) -> None:
    def spoil(fields: dict[str, Stored]) -> None:
        for name in fields.keys() - {"label"}:
            data = (b"\xff",) if FIELDS[name] == "frames" else b"\xff"
            fields[name] = Stored(data=data, extension=fields[name].extension, facts=fields[name].facts)

    page = Page(render_page(write_many_kinds(tmp_path, samples=4, size=16, change=spoil), samples=4))
    problems = [attributes for tag, attributes in page.elements if tag == "p" and attributes.get("class") == "problem"]
    assert len(problems) == 3 * (len(FIELDS) - 1) + 1


def test_a_shard_that_is_gone_leaves_cards_that_say_so(tmp_path: Path) -> None:
    dataset = write_many_kinds(tmp_path, samples=4, size=16)
    dataset.shard_paths(1)[0].unlink()
    page = Page(render_page(Dataset.open(tmp_path), samples=4))
    assert len(page.cards) == 4
    assert "cannot be read" in page.card_text["scene-0003"]


@pytest.mark.parametrize("most", [150_000, 400_000])
def test_the_page_keeps_its_size_and_says_what_it_left_out(
    dataset: Dataset, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(render_page(dataset, samples=48))
    monkeypatch.setattr(page_module, "MAX_PAGE_BYTES", most)
    monkeypatch.setattr(page_module, "_FOR_MEDIA", most // 2)
    html = render_page(dataset, samples=48)
    assert len(html.encode()) <= most < whole < MAX_PAGE_BYTES
    page = Page(html)
    assert "left out" in page.text or "No room was left" in page.text
    assert page.cards


def test_a_page_of_cards_without_end_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(fields: dict[str, Stored]) -> None:
        fields["text"] = text(["&" * 5000])

    dataset = write_many_kinds(tmp_path, samples=12, size=16, change=long, fields={"text": "text"} | FIELDS)
    monkeypatch.setattr(page_module, "MAX_PAGE_BYTES", 200_000)
    html = render_page(dataset, samples=12)
    assert len(html.encode()) <= 200_000
    page = Page(html)
    assert 0 < len(page.cards) < 12
    assert f"{12 - len(page.cards)} more were to be shown" in page.text
    assert "and 1,000 more characters" in page.text


def test_a_sound_over_the_cap_is_drawn_but_not_embedded(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MAX_PLAYED_BYTES", 1000)
    page = Page(render_page(dataset, samples=48))
    assert page.found("scene-0000", "audio", "audio") == []
    assert len(page.found("scene-0000", "audio", "path")) == 1
    assert "left out to keep the page small" in page.card_text["scene-0000"]
    assert page.found("scene-0000", "mp4", "video") == []
    assert len(page.found("scene-0000", "mp4", "img")) == NUM_FRAMES


def test_only_the_samples_that_are_shown_are_read(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = ShardReader.read

    def counted(self: ShardReader, row: Row) -> Sample:
        block, number = row
        read.append(block.keys[number])
        return original(self, row)

    monkeypatch.setattr(ShardReader, "read", counted)
    page = Page(render_page(dataset, samples=3))
    assert list(page.cards) == dataset.keys(np.array([0, 3, 7]))
    assert set(read) == set(page.cards)


def test_a_page_of_a_split_shows_that_split(dataset: Dataset, tmp_path: Path) -> None:
    path = write_page(Dataset.open(f"{dataset.root}:val"), tmp_path / "made" / "val.html")
    assert list(Page(path.read_text()).cards) == ["scene-0006", "scene-0007"]


def test_one_sample_makes_a_page(tmp_path: Path) -> None:
    write_many_kinds(tmp_path, samples=4, size=16)
    page = Page(render_page(Dataset.open(f"{tmp_path}:val"), samples=48))
    assert list(page.cards) == ["scene-0003"]


def test_a_dataset_of_nothing_but_rejects_makes_a_page(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, shard=0, plan_id="p", fields={"image": "image"}) as writer:
        writer.reject("a", source="a.jpg", reason=RejectReason.EMPTY_FILE, detail="no bytes")
        writer.commit()
    nothing = {"settings": {}, "software": {}, "fields": {"image": "image"}, "classes": None, "ignored": {}}
    seal(tmp_path, Origin(plan_id="p", source="nothing", num_items=1, num_shards=1, **nothing))
    page = Page(render_page(Dataset.open(tmp_path), samples=48))
    assert "Nothing was stored" in page.text
    assert "no bytes" in page.text


def test_the_same_dataset_makes_the_same_page(dataset: Dataset) -> None:
    assert render_page(dataset, samples=2) == render_page(dataset, samples=2)


def test_holes_of_a_depth_map_are_not_values(tmp_path: Path) -> None:
    def holes(fields: dict[str, Stored]) -> None:
        depth = np.full((16, 16), 1500, np.uint16)
        depth[:4], depth[15] = 0, 2000
        fields["depth"] = raster(depth)
        fields["bands"] = raster(np.full((16, 16, 2), np.nan, np.float32))
        fields["image"] = image(np.zeros((16, 16, 3), np.uint8))

    page = Page(render_page(write_many_kinds(tmp_path, samples=4, size=16, change=holes), samples=1))
    assert "values 1,500 to 2,000" in page.card_text["scene-0000"]
    assert "no value 25 %" in page.card_text["scene-0000"]
    assert len(page.found("scene-0000", "bands", "img")) == 2
