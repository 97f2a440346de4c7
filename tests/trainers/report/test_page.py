"""The page about a run."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from shards.dataset import Dataset
from tests.trainers.conftest import tiny_run, train
from trainers.evaluate.evaluation import evaluate, load_subject
from trainers.report.page import build_report
from trainers.run import RunFolder

VOID = {"meta", "img", "line", "circle", "polyline", "br"}


class Outline(HTMLParser):
    """Checks that tags are closed in asked, and collects text and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(path: Path) -> Outline:
    found = Outline()
    found.feed(path.read_text())
    assert not found.open
    return found


@pytest.fixture(scope="module")
def run_once(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = tiny_run(labelled, tmp_path_factory.mktemp("reported") / "run")
    train(asked)
    return asked.out


@pytest.fixture
def run(run_once: Path, tmp_path: Path) -> RunFolder:
    """A whole run of 12 steps, which a test may change."""
    return RunFolder(Path(shutil.copytree(run_once, tmp_path / "run")))


def test_page_needs_nothing_from_outside(run: RunFolder) -> None:
    page = outline(run.report)
    assert all(address.startswith("data:") for address in page.addresses)
    html = run.report.read_text()
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"data:image/png;base64,[\w+/=]+", "", html))
    assert "script" not in page.seen


def test_page_says_what_was_run_and_shows_the_curves(run: RunFolder) -> None:
    page = outline(run.report)
    for fact in ("arXiv:2111.06377", "12 of 12", "model.depth=2", "Loss", "Learning rate", "Samples per second", "CPU"):
        assert fact in page.text
    assert page.seen.count("svg") == 4
    assert "Nothing has been evaluated yet" in page.text


def test_page_shows_scores_and_reconstructions(run: RunFolder, labelled: Path) -> None:
    subject = load_subject(run, device=torch.device("cpu"), dtype=torch.float32)
    result = evaluate(run, subject, Dataset.open(labelled), None, limit=None, workers=0)
    page = outline(build_report(run))
    accuracy = result["classification"]["scores"]["trained encoder"]["knn"]["accuracy"]
    assert f"{accuracy:.1%}" in page.text
    assert "same encoder, random weights" in page.text
    assert page.seen.count("img") == 1


def test_page_shows_guesses_at_hidden_words_and_why_a_target_is_not_drawn(run: RunFolder) -> None:
    guesses = [{"word": "<cat>", "probability": 0.25}, {"word": "dog", "probability": 0.07}]
    words = [{"word": "a", "role": "seen"}, {"word": "dog", "role": "hidden"}, {"word": "!", "role": "left out"}]
    hidden = [{"place": 1, "word": "dog", "read": None, "guesses": guesses}]
    drawn = [
        {
            "target": "text",
            "modality": "caption",
            "note": "What was hidden.",
            "guesses": [{"key": "k", "words": words, "hidden": hidden}],
        },
        {"target": "features", "modality": "image", "skipped": "a teacher said it"},
    ]
    run.evaluations.mkdir(exist_ok=True)
    result = {"step": 3, "classification": {"skipped": "no labels"}, "reconstructions": drawn}
    (run.evaluations / "some.json").write_text(json.dumps(result))
    page = outline(build_report(run))
    assert "text of caption. What was hidden." in page.text
    assert "No picture of features: a teacher said it." in page.text
    assert "<cat> 25%" in page.text
    html = run.report.read_text()
    assert '<td class="right">dog <span class="range">7%</span></td>' in html
    assert '<span class="hidden">dog</span>' in html
    assert '<span class="left-out">!</span>' in html


def test_page_shows_the_contact_sheet_of_the_dataset(run: RunFolder) -> None:
    sheet = Path(run.card().datasets[0].path) / "inspect" / "contact_sheet.png"
    sheet.parent.mkdir()
    Image.new("RGB", (4, 4)).save(sheet)
    try:
        assert outline(build_report(run)).seen.count("img") == 1
    finally:
        sheet.unlink()
        sheet.parent.rmdir()


def test_names_cannot_become_markup(run: RunFolder) -> None:
    card = run.root / "run.json"
    card.write_text(card.read_text().replace('"size": "tiny"', '"size": "<script>alert(1)</script>"', 1))
    assert "<script" not in build_report(run).read_text()


def test_a_report_does_not_execute_the_recipe_of_its_run(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sprung.py").write_text("raise AssertionError('this was executed')")
    monkeypatch.syspath_prepend(tmp_path)
    card = run.root / "run.json"
    card.write_text(card.read_text().replace('"recipe": "mae"', '"recipe": "sprung:recipe"', 1))
    assert "A recipe outside maskloom: sprung:recipe" in outline(build_report(run)).text


def test_page_says_which_views_were_looked_at(run: RunFolder) -> None:
    assert "new in every epoch: CropAndFlip, scale [0.2, 1.0]" in outline(run.report).text
    card = run.card()
    views = {"policy": "CenterCrop", "parameters": {"size": 32}, "count": 3, "seed": 5}
    replace(card, stored={"hog": {"target_id": "hog-0123", "views": views}}).save(run.root)
    text = outline(build_report(run)).text
    assert "the 3 that hog-0123 was computed on, seed 5: CenterCrop, size 32" in text
    assert "CropAndFlip, scale" not in text


def test_page_is_built_from_files_that_were_torn(run: RunFolder) -> None:
    for name in ("starts.jsonl", "metrics.jsonl"):
        with (run.root / name).open("a") as file:
            file.write('{"step": 15, "at')
    assert "12 of 12" in outline(build_report(run)).text
