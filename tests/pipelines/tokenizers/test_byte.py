import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.tokenizers.tokenizer import TextTokenizer
from shards.errors import SettingsError

TOKENIZER = ByteTokenizer(sentinels=10)
TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert (ids[0], ids[-1]) == (TOKENIZER.begin_id, TOKENIZER.end_id)
    assert len(ids) == len(text.encode()) + 2


@given(TEXTS)
def test_ids_lie_in_the_vocabulary_and_no_byte_is_a_special_id(text: str) -> None:
    special = {TOKENIZER.padding_id, TOKENIZER.begin_id, TOKENIZER.end_id, TOKENIZER.mask_id, *TOKENIZER.sentinel_ids}
    assert len(special) == 14
    assert not special.intersection(TOKENIZER.encode(text)[1:-1])
    assert max(TOKENIZER.encode(text)) < TOKENIZER.vocabulary == 270
    assert max(special) == TOKENIZER.vocabulary - 1


def test_ids_are_the_same_whatever_the_number_of_sentinels() -> None:
    assert isinstance(TOKENIZER, TextTokenizer)
    assert ByteTokenizer(sentinels=0).encode("Aé") == TOKENIZER.encode("Aé") == [1, 69, 199, 173, 2]
    assert list(ByteTokenizer(sentinels=2).sentinel_ids) == [260, 261]


def test_special_ids_and_halves_of_characters_do_not_stop_decoding() -> None:
    ids = [*TOKENIZER.encode("aé")[:-2], TOKENIZER.mask_id, TOKENIZER.sentinel_ids[3], TOKENIZER.padding_id]
    assert TOKENIZER.decode(ids) == "a\ufffd"


def test_every_id_has_a_name_of_its_own_that_can_be_read() -> None:
    names = TOKENIZER.names(range(TOKENIZER.vocabulary))
    assert len(set(names)) == TOKENIZER.vocabulary
    assert all(name.isprintable() and name.strip() == name for name in names)
    shown = ["[SOS]", "d", "o", "g", "␣", "<0xC3>", "<0xA9>", "[EOS]"]
    assert TOKENIZER.names(TOKENIZER.encode("dog é")) == shown
    special = [TOKENIZER.padding_id, TOKENIZER.mask_id, TOKENIZER.sentinel_ids[0], TOKENIZER.sentinel_ids[-1]]
    assert TOKENIZER.names(special) == ["[PAD]", "[MASK]", "[S_0]", "[S_9]"]


def test_a_negative_number_of_sentinels_is_refused() -> None:
    with pytest.raises(SettingsError, match="-1 sentinels"):
        ByteTokenizer(sentinels=-1)
