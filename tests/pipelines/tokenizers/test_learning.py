"""What is learned follows from words and their counts, and from nothing else."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from pipelines.tokenizers.learned import LearnedTokenizer
from pipelines.tokenizers.learning import Learning, learn
from pipelines.tokenizers.splitting import Kind, splitting, word_splitter
from shards.errors import SettingsError
from tests.pipelines.tokenizers.captioned import captions, learned

LEARN_HERE = """
import hashlib
from pipelines.tokenizers.learning import Learning
from pipelines.tokenizers.splitting import Kind
from tests.pipelines.tokenizers.captioned import captions, learned
for kind in Kind:
    learning = Learning(kind=kind, vocabulary=360)
    print(hashlib.sha256(learned(captions(), learning)).hexdigest())
"""


def vocabulary(file: bytes) -> dict[str, int]:
    found: dict[str, int] = json.loads(file)["model"]["vocab"]
    return found


def test_another_process_learns_the_same_file_byte_for_byte() -> None:
    """The library's own trainer of word pieces gives another file in every process."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", LEARN_HERE]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    here = [hashlib.sha256(learned(captions(), Learning(kind=kind, vocabulary=360))).hexdigest() for kind in Kind]
    assert found == here


@pytest.mark.parametrize("kind", Kind)
def test_neither_the_order_of_words_nor_learning_again_changes_the_file(kind: Kind) -> None:
    learning = Learning(kind=kind, vocabulary=360)
    assert learned(captions(), learning) == learned(captions()[::-1], learning)


def test_byte_pairs_are_those_of_the_library_itself() -> None:
    learning = Learning(kind=Kind.BPE, vocabulary=350)
    usual = Tokenizer(models.BPE())
    usual.normalizer, usual.pre_tokenizer = splitting(Kind.BPE, True)
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        min_frequency=2,
        special_tokens=learning.special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    usual.train_from_iterator(captions(), trainer)
    assert vocabulary(learned(captions(), learning)) == usual.get_vocab(with_added_tokens=False)


def test_word_pieces_are_those_of_the_library_where_no_pairs_are_equally_frequent() -> None:
    """Which of two equally frequent pairs comes first is left to chance in the library's trainer."""
    words = {"ab": 100, "abc": 51, "abcd": 23, "xy": 9, "z": 3, "q": 1}
    learning = Learning(kind=Kind.WORDPIECE, vocabulary=200)
    usual = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, min_frequency=2, special_tokens=learning.special_tokens, show_progress=False
    )
    usual.train_from_iterator([word for word, count in words.items() for _ in range(count)], trainer)
    found = vocabulary(learn(words, learning))
    assert found.keys() == usual.get_vocab().keys() - {"q"}  # which occurs once
    assert {"ab", "abcd", "##d", "xy"} <= found.keys()


def test_the_vocabulary_is_what_was_asked_for_where_captions_have_as_much() -> None:
    found = vocabulary(learned(captions(), Learning(kind=Kind.WORDPIECE, vocabulary=150, sentinels=20)))
    assert sorted(found.values()) == list(range(150))
    assert [name for name, number in found.items() if number in (0, 3, 4, 23, 24)] == [
        "[PAD]", "[EOS]", "[S_0]", "[S_19]", "[MASK]",
    ]  # fmt: skip


def test_characters_that_occur_once_are_unknown_to_word_pieces_and_bytes_to_pairs(tmp_path: Path) -> None:
    texts = ["a cat", "a cat", "a cat ☃"]
    for kind, names in ((Kind.WORDPIECE, ["a", "[UNK]"]), (Kind.BPE, ["Ġa", "Ġ", "â", "ĺ", "ĥ"])):
        path = tmp_path / kind
        path.write_bytes(learned(texts, Learning(kind=kind, vocabulary=300)))
        tokenizer = LearnedTokenizer(path=str(path))
        assert tokenizer.names(tokenizer.encode("a ☃"))[1:-1] == names


def test_case_and_accents_are_kept_only_if_asked() -> None:
    assert word_splitter(Kind.WORDPIECE, True)("Un Café, 猫犬") == ["un", "cafe", ",", "猫", "犬"]
    assert word_splitter(Kind.WORDPIECE, False)("Un Café,") == ["Un", "Café", ","]
    assert word_splitter(Kind.BPE, True)("  Un\t Cafe\u0301") == ["Ġun", "ĠcafÃ©"]
    assert word_splitter(Kind.BPE, False)("Un Café") == ["ĠUn", "ĠCafÃ©"]


def test_a_word_of_endless_length_is_not_learned() -> None:
    file = learn(Counter({"cat": 5, "ab" * 5000: 5}), Learning(kind=Kind.WORDPIECE, vocabulary=1000))
    assert max(map(len, vocabulary(file))) < 10


@pytest.mark.parametrize(
    ("kind", "size", "sentinels", "message"),
    [
        (Kind.BPE, 200, 0, "no room for 5 special tokens and 256 bytes; give at least 261"),
        (Kind.WORDPIECE, 100, 200, "no room for 205 special tokens; give at least 208"),
        (Kind.WORDPIECE, 100, -1, "-1 sentinels was asked for"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(kind: Kind, size: int, sentinels: int, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Learning(kind=kind, vocabulary=size, sentinels=sentinels)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(SettingsError, match="captions are empty"):
        learn({}, Learning(kind=Kind.WORDPIECE, vocabulary=1000))
