"""A file is used as the library itself would use it, and what is no file of it is refused."""

import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from pipelines.tokenizers import learned
from pipelines.tokenizers.learned import LearnedTokenizer
from pipelines.tokenizers.tokenizer import TextTokenizer
from shards.errors import SettingsError
from shards.storage import file_digest
from tests.pipelines.tokenizers.captioned import TEXTS, captions, learned_file
from trainers.run_card import describe

FILES = [("wordpiece", True), ("wordpiece", False), ("bpe", True), ("bpe", False)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module", params=FILES, ids=lambda param: f"{param[0]}-{'lower' if param[1] else 'cased'}")
def path(folder: Path, request: pytest.FixtureRequest) -> str:
    kind, is_lower_case = request.param
    return str(learned_file(folder, kind, is_lower_case=is_lower_case))


@pytest.fixture(scope="module")
def pieces(folder: Path) -> LearnedTokenizer:
    return LearnedTokenizer(path=str(learned_file(folder)))


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_ids_of_any_text_are_those_of_the_library(path: str, text: str) -> None:
    assert LearnedTokenizer(path=path).encode(text) == reference(path).encode(text).ids


_REFERENCES: dict[str, Tokenizer] = {}


def reference(path: str) -> Tokenizer:
    if path not in _REFERENCES:
        _REFERENCES[path] = Tokenizer.from_file(path)
    return _REFERENCES[path]


def test_plain_captions_take_the_fast_way_to_the_same_ids(path: str) -> None:
    tokenizer = LearnedTokenizer(path=path)
    for text in captions() + captions():
        assert tokenizer.encode(text) == reference(path).encode(text).ids
    assert tokenizer._codec.is_word_by_word
    assert len(tokenizer._codec.cache) > 20


@settings(max_examples=30, deadline=None)
@given(text=TEXTS, longest=st.integers(3, 30))
def test_cut_texts_are_those_that_the_library_truncates(path: str, text: str, longest: int) -> None:
    truncating = Tokenizer.from_file(path)
    truncating.enable_truncation(longest)
    ids = LearnedTokenizer(path=path, longest=longest).encode(text)
    assert ids == truncating.encode(text).ids
    assert ids[-1] == 3


def test_special_ids_are_those_of_4m_and_a_mask(path: str) -> None:
    tokenizer = LearnedTokenizer(path=path)
    assert isinstance(tokenizer, TextTokenizer)
    special = (tokenizer.padding_id, tokenizer.unknown_id, tokenizer.begin_id, tokenizer.end_id)
    assert special == (0, 1, 2, 3)
    assert list(tokenizer.sentinel_ids) == list(range(4, 14))
    assert tokenizer.mask_id == 14
    assert tokenizer.encode("a cat")[0] == tokenizer.begin_id
    assert tokenizer.encode("a cat")[-1] == tokenizer.end_id
    assert max(max(tokenizer.encode(text)) for text in captions()) < tokenizer.vocabulary <= 420


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_byte_pairs_give_any_text_back_as_normalised(folder: Path, text: str) -> None:
    path = str(folder / "bpe-True.json")
    if not Path(path).exists():
        learned_file(folder, "bpe")
    tokenizer = LearnedTokenizer(path=path)
    if not set(tokenizer.encode(text)[1:-1]) & {*range(15)}:  # no name of a special token is spelled out
        assert tokenizer.decode(tokenizer.encode(text)) == reference(path).normalizer.normalize_str(text).strip()


def test_captions_come_back_from_word_pieces_but_for_spaces_accents_and_case(pieces: LearnedTokenizer) -> None:
    ids = pieces.encode("Two dogs: a CAFÉ")
    assert pieces.decode([*ids, pieces.padding_id, pieces.mask_id]) == "two dogs : a cafe"
    assert pieces.names(ids)[:3] == ["[SOS]", "two", "dogs"]


def test_the_vocabulary_of_bert_gives_the_ids_of_bert(pieces: LearnedTokenizer) -> None:
    legacy = pytest.importorskip(
        "transformers.models.bert.tokenization_bert_legacy", reason="transformers, the reference, is not installed"
    )
    words = legacy.WordpieceTokenizer(vocab=reference(pieces.path).get_vocab(), unk_token="[UNK]")
    basic = legacy.BasicTokenizer(do_lower_case=True)

    def expected(text: str) -> list[str]:
        return [piece for word in basic.tokenize(text) for piece in words.tokenize(word)]

    @settings(max_examples=50, deadline=None)
    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="[")))
    def agrees(text: str) -> None:
        assert pieces.names(pieces.encode(text))[1:-1] == expected(text)

    agrees()
    for text in captions(100):
        assert pieces.names(pieces.encode(text))[1:-1] == expected(text)


def bert_like() -> Tokenizer:
    """A file as others write it, with names of their own and settings for batches."""
    vocabulary = {name: number for number, name in enumerate(("[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "cat", "##s"))}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    tokenizer.enable_padding(length=12)
    tokenizer.enable_truncation(3)
    return tokenizer


def saved(tokenizer: Tokenizer, folder: Path, **changed: Any) -> str:
    """Write a tokenizer, parts of its JSON changed, and return the path."""
    path = folder / "changed.json"
    path.write_text(json.dumps(json.loads(tokenizer.to_str()) | changed))
    return str(path)


def test_files_of_others_are_read_by_the_names_of_their_special_tokens(tmp_path: Path) -> None:
    tokenizer = LearnedTokenizer(path=saved(bert_like(), tmp_path))
    assert tokenizer.encode("A cats dog") == [1, 4, 5, 6, 3, 2]
    assert (tokenizer.padding_id, tokenizer.begin_id, tokenizer.end_id, tokenizer.unknown_id) == (0, 1, 2, 3)
    assert list(tokenizer.sentinel_ids) == []
    with pytest.raises(SettingsError, match=r"no special token for mask: none of \[MASK\], <mask>"):
        _ = tokenizer.mask_id


def test_an_added_token_that_could_be_a_word_is_still_found(tmp_path: Path) -> None:
    others = bert_like()
    others.add_tokens(["hot dog"])
    path = saved(others, tmp_path)
    assert LearnedTokenizer(path=path).names(LearnedTokenizer(path=path).encode("a hot dog"))[1:-1] == ["a", "hot dog"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no tokenizer"),
        (b"\x80\x04\x95 a pickle \xff", "holds no tokenizer"),
        (b"[]", "holds no tokenizer"),
        (b'{"model": {"type": "Unheard"}}', "holds no tokenizer"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        LearnedTokenizer(path=str(path))


def test_tokenizers_that_would_fail_later_are_refused(tmp_path: Path, pieces: LearnedTokenizer) -> None:
    model = json.loads(bert_like().to_str())["model"]
    with pytest.raises(SettingsError, match=r"unknown token '\?' is not in its vocabulary"):
        LearnedTokenizer(path=saved(bert_like(), tmp_path, model=model | {"unk_token": "?"}))
    without = {name: number for name, number in model["vocab"].items() if name != "[PAD]"}
    with pytest.raises(SettingsError, match="has no token for padding"):
        LearnedTokenizer(path=saved(bert_like(), tmp_path, model=model | {"vocab": without}, added_tokens=[]))
    huge = model | {"vocab": model["vocab"] | {"dog": 1 << 30}}
    with pytest.raises(SettingsError, match="one of them the id 1073741824"):
        LearnedTokenizer(path=saved(bert_like(), tmp_path, model=huge))
    with pytest.raises(SettingsError, match=r"at most 2 ids were asked for, 2 of which are the marks"):
        LearnedTokenizer(path=pieces.path, longest=2)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1), byte=st.binary(min_size=1, max_size=3))
def test_a_damaged_file_is_refused_or_a_tokenizer(pieces: LearnedTokenizer, place: float, byte: bytes) -> None:
    data = Path(pieces.path).read_bytes()
    start = int(place * len(data))
    damaged = Path(pieces.path).with_name("damaged.json")
    damaged.write_bytes(data[:start] + byte + data[start + len(byte) :])
    try:
        assert LearnedTokenizer(path=str(damaged)).encode("a cat")
    except SettingsError as error:
        assert "damaged.json" in str(error)


def test_a_file_that_is_not_there_is_named_with_the_nearest(folder: Path, pieces: LearnedTokenizer) -> None:
    with pytest.raises(
        SettingsError, match=r"wordpeice-True.json cannot be read.*Did you mean '.*wordpiece-True.json'"
    ):
        LearnedTokenizer(path=str(folder / "wordpeice-True.json"))


def test_run_cards_record_the_digest_and_settings_choose_the_file(folder: Path, pieces: LearnedTokenizer) -> None:
    assert f"sha256:{pieces.sha256}" == file_digest(Path(pieces.path), "sha256")
    described = {"type": "pipelines.tokenizers.learned:LearnedTokenizer", "path": pieces.path, "longest": None}
    assert describe(pieces) == described | {"sha256": pieces.sha256}
    other = str(learned_file(folder, "bpe"))
    assert replace(pieces, path=other, longest=9) == LearnedTokenizer(path=other, longest=9)


def test_it_can_be_pickled_hashed_and_used_in_a_new_process(pieces: LearnedTokenizer) -> None:
    again = pickle.loads(pickle.dumps(pieces))
    assert again == pieces
    assert hash(again) == hash(pieces)
    assert len(pickle.dumps(pieces)) < 1000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(pieces.encode, "a cat on 2 pizzas").result() == pieces.encode("a cat on 2 pizzas")


def test_a_file_that_changed_is_refused_by_the_process_that_it_is_sent_to(tmp_path: Path) -> None:
    path = learned_file(tmp_path)
    sent = pickle.dumps(LearnedTokenizer(path=str(path)))
    path.write_bytes(learned_file(tmp_path, "bpe").read_bytes())
    learned._open.cache_clear()  # as in another process
    with pytest.raises(SettingsError, match="was changed while it was in use"):
        pickle.loads(sent).encode("a cat")
