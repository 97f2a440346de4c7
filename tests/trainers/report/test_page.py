"""The page about a run."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from shards.dataset import Dataset
from trainers.evaluate.evaluation import evaluate, load_subject
from trainers.launch import Request
from trainers.loop import Ending
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


@pytest.fixture
def run(asked: Request, run_training: Callable[..., Ending]) -> RunFolder:
    run_training(asked)
    return RunFolder(asked.out)


def test_page_needs_nothing_from_outside(run: RunFolder) -> None:
    page = outline(run.report)
    assert all(address.startswith("data:") for address in page.addresses)
    html = run.report.read_text()
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"data:image/png;base64,[\w+/=]+", "", html))
    assert "script" not in page.seen


def test_page_says_what_was_run_and_shows_the_curves(run: RunFolder) -> None:
    page = outline(run.report)
    for fact in ("arXiv:2111.06377", "14 of 14", "model.depth=2", "Loss", "Learning rate", "Samples per second", "CPU"):
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


def test_page_shows_the_contact_sheet_of_the_dataset(run: RunFolder) -> None:
    sheet = Path(run.card().dataset) / "inspect" / "contact_sheet.png"
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
