"""The page of `maskloom inspect --html` shows what a teacher was shown and what it said, and believes nothing else."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from pipelines.inspect import page as page_module
from pipelines.inspect.colours import id_colours
from pipelines.inspect.page import render_page
from pipelines.inspect.targets.viewer import MAX_TARGETS, load_tokenizers
from pipelines.transforms.hog import patch_hog
from pipelines.transforms.image import decode_image, render
from pipelines.views import CenterCrop, CentreClip, Extent, ViewSet
from shards.dataset import Dataset
from shards.target_table import TargetTable, target_folder
from tests.pipelines.html_page import ATTACK, Page, payload
from tests.pipelines.many_kinds import write_many_kinds
from tests.pipelines.stored_targets import (
    CROPS,
    GRID,
    PATCH,
    SIZE,
    TOKENS,
    drawn_ids,
    looked_at,
    saved_tokenizer,
    spec_of,
    store,
)

KEYS = ("scene-0000", "scene-0002", "scene-0003")
"""The samples that have pictures."""


@pytest.fixture
def dataset(pictures_once: Dataset, tmp_path: Path) -> Dataset:
    """Three pictures and a caption without one; targets may be stored."""
    root = tmp_path / "dataset"
    shutil.copytree(pictures_once.root, root)
    return Dataset.open(root)


@pytest.fixture(scope="module")
def pictures_once(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return looked_at(tmp_path_factory.mktemp("pictures") / "dataset", "image")


def shown(dataset: Dataset, **more: Any) -> Page:
    return Page(render_page(Dataset.open(dataset.root), samples=4, **more))


def pictures(page: Page, key: str, target: str) -> list[np.ndarray]:
    """Return the pictures of the panel of a target."""
    found = page.found(key, target, "img")
    return [np.asarray(Pillow.open(io.BytesIO(payload(item["src"]))).convert("RGB")) for item in found]


def view_of(dataset: Dataset, key: str, k: int) -> np.ndarray:
    """Return view `k` of the picture of a sample, rendered by itself."""
    number = next(n for n in range(dataset.num_samples) if dataset.keys(np.array([n])) == [key])
    (sample,) = dataset.read(np.array([number]), ["image"])
    if "image" not in sample.fields:
        return np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels = decode_image(sample.fields["image"])
    view = CROPS.view(key, k, extent=Extent(height=pixels.shape[0], width=pixels.shape[1]))
    return render(pixels, view).permute(1, 2, 0).numpy()


def coloured(ids: np.ndarray) -> np.ndarray:
    """Return a map of ids as it has to look at the size of the view."""
    return id_colours(ids).reshape(GRID, GRID, 3).repeat(PATCH, axis=0).repeat(PATCH, axis=1)


def test_the_picture_is_the_very_view_and_the_ids_lie_where_they_belong(dataset: Dataset) -> None:
    spec = store(dataset, spec_of((TOKENS,), dtype="uint16", vocabulary=50), drawn_ids)
    page = shown(dataset)
    for key in KEYS:
        seen, said = pictures(page, key, spec.target_id)
        view = view_of(dataset, key, 0)
        assert (seen == view).all()
        assert (view != view_of(dataset, key, 1)).any()
        assert (view != view[:, ::-1]).any()
        assert (said == coloured(drawn_ids(key, 0))).all()
        assert (said != coloured(drawn_ids(key, 1))).any()
        assert (said[:, ::-1] != coloured(drawn_ids(key, 0))).any()
    assert "16 places" in page.card_text[KEYS[0]]


def test_an_id_has_the_same_colour_on_every_card(dataset: Dataset) -> None:
    orders = dict(zip(KEYS, (np.arange(TOKENS), np.arange(TOKENS)[::-1], np.roll(np.arange(TOKENS), 5)), strict=True))
    spec = store(dataset, spec_of((TOKENS,), dtype="uint32"), lambda key, k: orders.get(key, np.zeros(TOKENS)))
    page = shown(dataset)
    colours = []
    for key in KEYS:
        corners = pictures(page, key, spec.target_id)[1][::PATCH, ::PATCH].reshape(TOKENS, 3)
        colours.append(corners[np.argsort(orders[key])])
    assert (colours[0] == colours[1]).all() and (colours[0] == colours[2]).all()
    assert len(np.unique(colours[0], axis=0)) == TOKENS


def test_equal_features_have_equal_colours_on_every_card_and_others_do_not(dataset: Dataset) -> None:
    words = np.random.default_rng(1).normal(size=(4, 12))
    spec = store(
        dataset, spec_of((TOKENS, 12), dtype="float32"), lambda key, k: words[drawn_ids(key, k) % 4] + 100 * (k > 0)
    )
    page = shown(dataset)
    colours: dict[int, set[tuple[int, ...]]] = {word: set() for word in range(4)}
    for key in KEYS:
        said = pictures(page, key, spec.target_id)[1]
        assert said.shape == (SIZE, SIZE, 3)
        assert (said == said[::PATCH, ::PATCH].repeat(PATCH, axis=0).repeat(PATCH, axis=1)).all()
        for token, colour in zip(drawn_ids(key, 0) % 4, said[::PATCH, ::PATCH].reshape(TOKENS, 3), strict=True):
            colours[token].add(tuple(colour.tolist()))
    assert [len(found) for found in colours.values()] == [1, 1, 1, 1]
    assert len(set.union(*colours.values())) == 4


def test_features_that_are_not_finite_are_holes_and_change_no_colour(dataset: Dataset) -> None:
    def says(key: str, k: int, *, hole: float) -> np.ndarray:
        features = np.random.default_rng(int(key[-1])).normal(size=(TOKENS, 5))
        features[0] = hole
        return features

    targets = [
        store(dataset, spec_of((TOKENS, 5), teacher=name), lambda key, k, hole=hole: says(key, k, hole=hole))
        for name, hole in (("nans", np.nan), ("infinities", np.inf))
    ]
    page = shown(dataset)
    first, second = (pictures(page, KEYS[0], target.target_id)[1] for target in targets)
    assert (first[PATCH:] == second[PATCH:]).all()
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 8


def test_glyphs_are_bright_along_the_edges_of_the_view_and_nowhere_else(dataset: Dataset) -> None:
    def says(key: str, k: int) -> np.ndarray:
        edge = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
        edge[..., : PATCH + 4] = 255  # an upright edge in the second column of patches
        return patch_hog(edge, patch=PATCH)[0].numpy()

    spec = store(dataset, spec_of((TOKENS, 108), teacher="hog"), says)
    glyphs = pictures(shown(dataset), KEYS[0], spec.target_id)[1].mean(axis=2)
    columns = glyphs.reshape(-1, GRID, 2, glyphs.shape[1] // GRID // 2).mean(axis=(0, 3)).reshape(-1)
    assert set(np.flatnonzero(columns > 5).tolist()) == {2, 3}  # the two cells on both sides of the edge
    assert glyphs.max(axis=0).argmax() // (glyphs.shape[1] // GRID) == 1


def test_one_number_to_a_token_is_a_map_over_the_picture(dataset: Dataset) -> None:
    spec = store(dataset, spec_of((TOKENS,)), lambda key, k: np.arange(TOKENS) / 8 + 3 * k)
    page = shown(dataset)
    seen, said = pictures(page, KEYS[0], spec.target_id)
    assert seen.shape == said.shape
    assert "01.875" in page.card_text[KEYS[0]]  # the ends of the scale, 0 and 1.875
    assert said[-PATCH:].mean() > said[:PATCH].mean() + 40  # the last row has the largest numbers


@pytest.mark.parametrize(
    ("shape", "settings", "words"),
    [
        ((TOKENS,), {"patch": PATCH, "output": "pooled"}, "0, 1, 2, 3, 4, 5, …"),
        ((TOKENS,), {}, "largest 15"),
        ((TOKENS, 2), {"patch": PATCH, "output": "registers"}, "largest 31"),
        ((7, 3), {}, "largest 20"),
        ((9, 3), {"patch": PATCH}, "deviation"),
        ((2, 3, 5), {}, "mean 14.5"),
    ],
)
def test_what_lies_nowhere_in_the_picture_is_said_in_words(
    dataset: Dataset, shape: tuple[int, ...], settings: dict[str, Any], words: str
) -> None:
    spec = spec_of(shape, dtype="float32", teacher_settings=settings)
    store(dataset, spec, lambda key, k: np.arange(np.prod(shape)).reshape(shape))
    page = shown(dataset)
    assert len(pictures(page, KEYS[0], spec.target_id)) == 1
    assert words in page.card_text[KEYS[0]]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((SIZE, SIZE), "float16"),
        ((SIZE, SIZE), "uint16"),
        ((SIZE // 2, SIZE // 2), "float16"),
        ((SIZE // 2, SIZE // 2), "uint16"),
        ((1, SIZE, SIZE), "float32"),
        ((3, SIZE, SIZE), "float16"),
    ],
)
def test_a_map_is_shown_as_a_raster(dataset: Dataset, shape: tuple[int, ...], dtype: str) -> None:
    edge = shape[-1] // 4

    def says(key: str, k: int) -> np.ndarray:
        return np.where(np.broadcast_to(np.arange(shape[-1]) < edge, shape), 5, 2 + k)

    spec = store(dataset, spec_of(shape, dtype=dtype, teacher_settings={"patch": PATCH, "stride": 2}), says)
    said = pictures(shown(dataset), KEYS[1], spec.target_id)[1].astype(int)
    assert said.shape == (*shape[-2:], 3)
    changes = np.abs(np.diff(said, axis=1)).sum(axis=(0, 2))
    assert changes.argmax() == edge - 1


def test_a_clip_is_shown_as_the_frames_that_the_teacher_saw(tmp_path: Path) -> None:
    dataset = looked_at(tmp_path, "video")
    views = ViewSet(policy=CenterCrop(size=SIZE), count=1, seed=0, time=CentreClip(count=4))
    looks = {"field": "video", "frames": 4, "tubelet": 2}
    spec = spec_of((2 * TOKENS,), dtype="uint16", views=views.to_json(), looks_at=looks)
    store(dataset, spec, lambda key, k: np.arange(2 * TOKENS))
    page = shown(dataset)
    first, first_ids, second, second_ids = pictures(page, KEYS[0], spec.target_id)
    assert (first_ids == coloured(np.arange(TOKENS))).all()
    assert (second_ids == coloured(np.arange(TOKENS, 2 * TOKENS))).all()
    (sample,) = dataset.read(np.array([0]), ["video"])
    frames = [decode_image(sample.frames["video"][number]) for number in (2, 4)]  # of 8, the middle 4 are 2, 3, 4, 5
    view = views.view(sample.key, 0, extent=Extent(height=48, width=48))
    for seen, frame in zip((first, second), frames, strict=True):
        assert (seen == render(frame, view).permute(1, 2, 0).numpy()).all()
    assert "0.5 s" in page.card_text[KEYS[0]]


def test_a_sample_that_the_teacher_was_not_shown_says_so(dataset: Dataset) -> None:
    spec = store(dataset, spec_of((TOKENS,), dtype="uint16"), drawn_ids)
    page = shown(dataset)
    assert page.found("scene-0001", spec.target_id, "img") == []
    assert "has no image" in page.card_text["scene-0001"]


def test_damage_of_a_target_is_shown_on_its_cards_and_nowhere_else(dataset: Dataset) -> None:
    spec = store(dataset, spec_of((TOKENS, 6)), lambda key, k: np.random.default_rng(1).normal(size=(TOKENS, 6)))
    sound = store(dataset, spec_of((TOKENS,), dtype="uint16"), drawn_ids)
    (file,) = target_folder(dataset.root, spec.target_id).glob("000001-*.arrow")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:100])
    page = shown(dataset)
    assert [key for key, words in page.card_text.items() if "Damaged" in words] == ["scene-0003"]
    assert page.found("scene-0003", spec.target_id, "img") == []
    assert len(page.found("scene-0003", sound.target_id, "img")) == 2
    assert len(page.found("scene-0002", spec.target_id, "img")) == 2


def edited(content: bytes) -> bytes:
    return content.replace(b"oracle", b"sphinx")


@pytest.mark.parametrize("change", [edited, lambda content: b"[]", lambda content: b"{}", lambda content: b"\xff"])
def test_a_seal_that_is_damaged_is_listed_as_such(dataset: Dataset, change: Callable[[bytes], bytes]) -> None:
    spec = store(dataset, spec_of((TOKENS,), dtype="uint16"), drawn_ids)
    file = target_folder(dataset.root, spec.target_id) / "target.json"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(change(content))
    page = shown(dataset)
    assert page.text.count(spec.target_id) >= 1
    assert f"maskloom drop {dataset.root} {spec.target_id}" in page.text or "Cannot be understood" in page.text
    assert all(spec.target_id not in fields for fields in page.cards.values())


@pytest.mark.parametrize(
    "more",
    [
        {"views": {"policy": "Nothing", "parameters": {}, "count": 1, "seed": 0}},
        {"views": CROPS.to_json() | {"count": 1, "parameters": CROPS.to_json()["parameters"] | {"size": 1 << 20}}},
        {"looks_at": {"target": "../../other"}},
        {"looks_at": {"field": "../image"}},
        {"looks_at": {"field": ["image"]}},
        {"teacher_settings": {"patch": "8", "output": {}}},
        {"weights_sha256": 7},
    ],
)
def test_no_specification_stops_the_page_or_leaves_the_dataset(dataset: Dataset, more: dict[str, Any]) -> None:
    spec = store(dataset, spec_of((TOKENS,), dtype="uint16", **more), drawn_ids)
    page = shown(dataset)
    assert len(page.cards) == 4
    assert spec.target_id in page.text


def test_what_a_target_says_cannot_become_markup(dataset: Dataset) -> None:
    settings = {"patch": PATCH, f"model {ATTACK}": ATTACK}
    spec = spec_of((TOKENS,), dtype="uint16", teacher_settings=settings, looks_at={"field": "image", "more": ATTACK})
    store(dataset, spec, drawn_ids)
    page = shown(dataset)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert f"model {ATTACK}={ATTACK}" in page.text


def test_ids_are_turned_back_by_the_tokenizer_of_the_user_and_by_no_other(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, digest = saved_tokenizer(tmp_path / "tokenizer.safetensors")
    named = {"tokenizer": str(tmp_path / "tokenizer.safetensors"), "target": ""}
    right, wrong = (
        store(
            dataset,
            spec_of((TOKENS,), dtype="uint16", teacher="tokens", teacher_settings=named, weights_sha256=sha256),
            drawn_ids,
        )
        for sha256 in (digest, "0" * 64)
    )
    given = load_tokenizers([tmp_path / "tokenizer.safetensors"])

    def never(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("pipelines.inspect.targets.viewer.load_tokenizer", never)
    monkeypatch.setattr("pipelines.tokenizers.vq.file.safe_open", never)
    without, with_it = shown(dataset), shown(dataset, tokenizers=given)
    for key in KEYS:
        assert len(pictures(without, key, right.target_id)) == len(pictures(with_it, key, wrong.target_id)) == 2
        wanted = tokenizer.decode(torch.from_numpy(drawn_ids(key, 0))[None])[0].permute(1, 2, 0).numpy()
        other = tokenizer.decode(torch.from_numpy(drawn_ids(key, 1))[None])[0].permute(1, 2, 0).numpy()
        assert (pictures(with_it, key, right.target_id)[2] == wanted).all()
        assert (wanted != other).any()


def test_more_targets_than_fit_on_a_card_are_counted(dataset: Dataset) -> None:
    for number in range(MAX_TARGETS + 2):
        store(dataset, spec_of((TOKENS,), dtype="uint16", teacher=f"teacher{number}"), drawn_ids)
    page = shown(dataset)
    assert len(page.cards[KEYS[0]]) == 2 + MAX_TARGETS  # picture, caption, targets
    assert "2 stored targets more than fit on a card are left out" in page.text


def test_targets_do_not_make_the_page_larger_than_it_may_be(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    for number in range(4):
        store(dataset, spec_of((SIZE, SIZE, 3), teacher=f"noise{number}"), lambda key, k: noise.random((SIZE, SIZE, 3)))
    monkeypatch.setattr(page_module, "MAX_PAGE_BYTES", 60_000)
    monkeypatch.setattr(page_module, "_FOR_MEDIA", 8_000)
    html = render_page(Dataset.open(dataset.root), samples=4)
    assert len(html.encode()) <= 60_000
    assert "No room was left" in html


def test_only_rows_of_the_first_view_of_samples_that_are_shown_are_read(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(dataset, spec_of((TOKENS, 4)), lambda key, k: np.ones((TOKENS, 4)))
    read: set[tuple[int, int]] = set()
    original = TargetTable.read

    def counted(self: TargetTable, ids: np.ndarray, k: np.ndarray) -> np.ndarray:
        read.update(zip(ids.tolist(), k.tolist(), strict=True))
        return original(self, ids, k)

    monkeypatch.setattr(TargetTable, "read", counted)
    render_page(Dataset.open(dataset.root), samples=2)
    assert read == {(0, 0), (3, 0)}


def test_a_tokenizer_of_features_is_shown_over_the_picture_of_the_features(dataset: Dataset) -> None:
    features = store(dataset, spec_of((TOKENS, 4)), lambda key, k: np.ones((TOKENS, 4)))
    ids = spec_of((TOKENS,), dtype="uint16", teacher="tokens", looks_at={"target": features.target_id})
    store(dataset, ids, drawn_ids)
    page = shown(dataset)
    assert (pictures(page, KEYS[0], ids.target_id)[1] == coloured(drawn_ids(KEYS[0], 0))).all()


def test_a_dataset_without_targets_says_nothing_of_them(tmp_path: Path) -> None:
    page = Page(render_page(write_many_kinds(tmp_path, samples=4, size=16), samples=1))
    assert "Stored targets" not in page.text
