"""`maskloom tokenizer` as users run it, and a stream that takes what it wrote."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import maskloom
from pipelines.component import Component
from pipelines.loading import Here, Loading, Workers
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Text
from pipelines.stream import Stream
from pipelines.tokenizers import commands
from pipelines.tokenizers.captions import read_captions, text_field
from pipelines.tokenizers.clip import ClipTokenizer
from pipelines.tokenizers.learned import LearnedTokenizer
from pipelines.views import FreshViews
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError, MissingFieldError
from shards.sample import Sample
from tests.pipelines.streams import take
from tests.pipelines.tokenizers.captioned import NUM_SAMPLES, captions, write_captioned

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(write_captioned(tmp_path_factory.mktemp("captioned")))


def run(*arguments: object) -> str:
    result = RUNNER.invoke(maskloom.app, ["tokenizer", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Run the command as from the shell, and return its complaint."""
    monkeypatch.setattr(sys, "argv", ["maskloom", "tokenizer", *map(str, arguments)])
    with pytest.raises(SystemExit) as ending:
        maskloom.main()
    assert ending.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def test_it_learns_from_every_line_and_says_what(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "captions.json"
    printed = run(dataset.root, "--vocabulary", 200, "--sentinels", 20, "--out", out)
    tokenizer = LearnedTokenizer(path=str(out))
    assert "captions.json: 200 tokens" in printed
    assert f"learned from: {3 * NUM_SAMPLES:,} captions" in printed
    assert "padding 0, unknown 1, begin 2, end 3, sentinels 4 to 23, mask 24" in printed
    assert f"sha256: {tokenizer.sha256}" in printed
    first = captions()[0]
    assert f"example: {first}" in printed
    assert " ".join(tokenizer.names(tokenizer.encode(first))) in printed
    lengths = [len(tokenizer.encode(text)) for text in captions()]
    assert f"tokens of a caption: {np.mean(lengths):.1f} on average" in printed
    assert f"at most {max(lengths)}\n" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["captions.json"]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_same_dataset_gives_the_same_file(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    for name in ("one.json", "two.json"):
        printed = run(dataset.root, "--kind", kind, "--keep-case", "--vocabulary", 400, "--out", tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    tokenizer = LearnedTokenizer(path=str(tmp_path / "one.json"))
    assert tokenizer.encode("Eine Katze") != tokenizer.encode("eine katze")
    if kind == "bpe":
        assert "unknown tokens: 0.000%" in printed


def test_a_small_dataset_has_fewer_tokens_than_asked_for_and_it_is_said(dataset: Dataset, tmp_path: Path) -> None:
    assert "of 8,000: the captions have no more" in run(dataset.root, "--out", tmp_path / "few.json")


def test_samples_are_spread_over_the_dataset(dataset: Dataset) -> None:
    every = list(read_captions(dataset, "text", samples=NUM_SAMPLES))
    assert [text for block in every for text in block] == captions()
    some = list(read_captions(dataset, "text", samples=70))
    assert len(some) == 2
    assert some[0] == every[0]
    assert some[1] in every[1:]


def test_what_makes_no_sense_is_refused_before_anything_is_read(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "captions.json"

    def complaint(*arguments: object) -> str:
        return refused(capsys, monkeypatch, *arguments)

    assert "Did you mean 'text'?" in complaint(dataset.root, "--field", "texts", "--out", out)
    assert "has no split 'train'" in complaint(f"{dataset.root}:train", "--out", out)
    assert "no room for 5 special tokens and 256 bytes" in complaint(
        dataset.root, "--kind", "bpe", "--vocabulary", 9, "--out", out
    )
    assert "Make it first" in complaint(dataset.root, "--out", tmp_path / "nowhere" / "captions.json")
    assert not out.exists()
    out.write_text("a tokenizer that something was trained with")
    assert "is there already" in complaint(dataset.root, "--out", out)
    assert out.read_text().startswith("a tokenizer")


def test_a_stop_leaves_no_file(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.tokenizers.learning.learn", stop)
    monkeypatch.setattr(sys, "argv", ["maskloom", "tokenizer", str(dataset.root), "--out", str(tmp_path / "a.json")])
    with pytest.raises(SystemExit) as ending:
        maskloom.main()
    assert ending.value.code == 130
    assert "Stopped." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_fails_while_learning_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        commands._interruptible(fail)
    assert commands._interruptible(lambda: 3) == 3


class Held(Dataset):
    """A dataset of which only its fields are known, and one sample."""

    def __init__(self, *, sample: Sample | None = None, **kinds: str) -> None:
        fields: Any = {name: SimpleNamespace(kind=kind) for name, kind in kinds.items()}
        super().__init__(Path("photos"), cast(Any, SimpleNamespace(fields=fields, num_samples=1)), "")
        self._sample = sample

    def read(self, ids: Ids, fields: Sequence[str]) -> list[Sample]:
        assert self._sample is not None
        return [self._sample]


def test_the_field_of_captions_is_found_or_asked_for() -> None:
    assert text_field(Held(image="image", caption="text")) == "caption"
    assert text_field(Held(title="text", caption="text"), "title") == "title"
    with pytest.raises(MissingFieldError, match=r"photos holds texts in title, caption; choose one with --field"):
        text_field(Held(title="text", caption="text"))
    with pytest.raises(MissingFieldError, match=r"photos holds no texts; its fields are image, label"):
        text_field(Held(image="image", label="label"))
    with pytest.raises(MissingFieldError, match=r"in the field 'image', but photos holds no texts"):
        text_field(Held(image="image"), "image")


def test_a_text_that_is_not_utf_8_is_named_by_its_sample() -> None:
    sample = Sample(key="0007", fields={"text": b"caf\xe9"})
    with pytest.raises(CorruptShardError, match="'text' of sample 0007 is not UTF-8") as caught:
        list(read_captions(Held(sample=sample, text="text"), "text", samples=1))
    assert caught.value.key == "0007"


@pytest.mark.parametrize("loading", [Here(), Workers(count=1)], ids=["here", "worker"])
def test_a_stream_shows_captions_as_the_tokens_that_were_learned(
    dataset: Dataset, tmp_path: Path, loading: Loading
) -> None:
    run(dataset.root, "--vocabulary", 200, "--out", tmp_path / "captions.json")
    tokenizer = LearnedTokenizer(path=str(tmp_path / "captions.json"), longest=10)
    texts = [Text(length=10, tokenizer=tokenizer), Text(length=77, tokenizer=ClipTokenizer(), name="clip")]
    stream = Stream(
        [Component(dataset=dataset)],
        modalities=texts,
        views=FreshViews(policy=None),
        masking={text.name: RandomPatches(ratio=0.5) for text in texts},
        global_batch=16,
        seed=3,
        loading=loading,
    )
    batch = take(stream, 1)[0]
    for text in texts:
        possible = {tuple(text.tokenizer.encode(caption)) for caption in captions()}
        for row, length in zip(batch.inputs[text.name], batch.lengths[text.name], strict=True):
            assert tuple(row[:length].tolist()) in possible
            assert torch.all(row[length:] == text.tokenizer.padding_id)
