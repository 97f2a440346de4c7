"""The ids are those of open_clip, whose own code is the reference."""

import importlib.util
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings

from pipelines.tokenizers import clip
from pipelines.tokenizers.clip import ClipTokenizer
from pipelines.tokenizers.tokenizer import TextTokenizer
from shards.errors import SettingsError
from tests.pipelines.tokenizers.captioned import TEXTS, captions

REAL_CAPTIONS = Path(__file__).parents[4] / "shared" / "data" / "coco_captions" / "captions.jsonl"

if importlib.util.find_spec("open_clip") is None:
    pytest.skip("open_clip_torch, whose vocabulary is needed, is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    """The tokenizer of ViT-B-32, from open_clip's own file alone: the whole of open_clip takes many seconds to import."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = dict(os.environ)
    spec.loader.exec_module(module)  # sets a variable of the environment
    os.environ.clear()
    os.environ.update(before)
    yield module.SimpleTokenizer()


def padded(tokenizer: ClipTokenizer, text: str) -> list[int]:
    ids = tokenizer.encode(text)
    return ids + [tokenizer.padding_id] * (tokenizer.longest - len(ids))


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_ids_of_any_text_are_those_of_open_clip(reference: Any, text: str) -> None:
    assert padded(ClipTokenizer(), text) == reference(text)[0].tolist()


def test_ids_of_captions_are_those_of_open_clip_the_second_time_too(reference: Any) -> None:
    for text in captions() + captions():
        assert padded(ClipTokenizer(), text) == reference(text)[0].tolist()


@pytest.mark.skipif(not REAL_CAPTIONS.exists(), reason="the captions of COCO are not on this machine")
def test_ids_of_captions_of_coco_are_those_of_open_clip(reference: Any) -> None:
    for line in REAL_CAPTIONS.read_text().splitlines():
        for text in json.loads(line)["captions"]:
            assert padded(ClipTokenizer(), text) == reference(text)[0].tolist()


@pytest.mark.parametrize("length", [3, 4, 8, 20])
def test_long_texts_are_cut_before_the_end_mark_as_by_open_clip(reference: Any, length: int) -> None:
    text = "a very long caption, of a street in the snow that does not end"
    tokenizer = ClipTokenizer(longest=length)
    assert padded(tokenizer, text) == reference(text, context_length=length)[0].tolist()
    assert tokenizer.encode(text)[length - 1 :] in ([], [tokenizer.end_id])


def test_special_ids_and_the_vocabulary_are_those_of_open_clip(reference: Any) -> None:
    tokenizer = ClipTokenizer()
    assert isinstance(tokenizer, TextTokenizer)
    assert (tokenizer.begin_id, tokenizer.end_id) == (reference.sot_token_id, reference.eot_token_id)
    assert tokenizer.vocabulary == reference.vocab_size


def test_a_cleaned_text_comes_back_without_marks_and_padding() -> None:
    tokenizer = ClipTokenizer()
    assert tokenizer.decode(padded(tokenizer, "  A café\u0301 &amp; its 🙂 ")) == "a café ́ & its 🙂 "
    assert tokenizer.decode(padded(tokenizer, "")) == ""


def test_ids_are_called_by_their_words_or_the_parts_of_words_that_they_are() -> None:
    tokenizer = ClipTokenizer()
    names = tokenizer.names(tokenizer.encode("A dog, zoologists"))
    assert names[:4] == ["<start_of_text>", "a", "dog", ","]
    assert names[-1] == "<end_of_text>"
    assert "".join(names[4:-1]).replace("…", "") == "zoologists"
    assert [name.endswith("…") for name in names[4:-1]] == [True] * (len(names) - 6) + [False]
    assert len(names) > 6
    assert len(set(tokenizer.names(range(tokenizer.vocabulary)))) == tokenizer.vocabulary


def test_it_can_be_pickled_compared_and_hashed() -> None:
    tokenizer = ClipTokenizer(longest=32)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again == tokenizer != ClipTokenizer()
    assert hash(again) == hash(tokenizer)
    assert again.encode("a cat") == tokenizer.encode("a cat")


def test_no_room_for_a_token_is_refused() -> None:
    with pytest.raises(SettingsError, match="at most 2 ids"):
        ClipTokenizer(longest=2)


def test_a_missing_vocabulary_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install open_clip_torch"):
        clip._codec.__wrapped__()


def test_another_vocabulary_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(b"something else")
    monkeypatch.setattr(clip, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(SettingsError, match="is not the vocabulary of CLIP: its sha256"):
        clip._codec.__wrapped__()
