from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.modalities import Text
from pipelines.rendering.text import TextRenderer
from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, View
from tests.pipelines.many_kinds import Stored, text
from tests.pipelines.rendering.looking import extent_of, rendered

TOKENIZER = ByteTokenizer()
TEXT = TextRenderer(modality=Text(length=12, tokenizer=TOKENIZER))


def read(stored: Stored, ticket: int = 0) -> str:
    return TOKENIZER.decode(rendered(TEXT, stored, View(ticket=ticket))[0].tolist())


def test_a_caption_becomes_ids_and_padding() -> None:
    row, real = rendered(TEXT, text(["Größe"]), View())
    assert real == 9  # five letters, two of them of two bytes, begin and end
    assert row[:9].tolist() == TOKENIZER.encode("Größe")
    assert (row[9:] == TOKENIZER.padding_id).all()


def test_a_caption_that_is_too_long_loses_its_end() -> None:
    row, real = rendered(TEXT, text(["a cat on a mat"]), View())
    assert real == 12
    assert row.tolist() == TOKENIZER.encode("a cat on a mat")[:12]


def test_captions_are_drawn_evenly_over_tickets_and_alike_for_one() -> None:
    stored = text(["zero", "one", "two", "three", "four"])
    drawn = [read(stored, ticket) for ticket in range(2500)]
    counts = [drawn.count(caption) for caption in ("zero", "one", "two", "three", "four")]
    assert sum(counts) == 2500
    assert 420 < min(counts) <= max(counts) < 580
    letters = text(list("abcde"))
    assert [read(letters, ticket) for ticket in range(8)] == list("debabbdc")  # stored targets belong to captions


@pytest.mark.parametrize("data", [b"a cat\n", b"a cat\r\n\r\n", b"\n  \na cat"])
def test_lines_without_a_caption_are_never_drawn(data: bytes) -> None:
    assert {read(Stored(data=data, extension="txt"), ticket) for ticket in range(20)} == {"a cat"}


def test_a_text_of_nothing_is_begin_and_end() -> None:
    assert rendered(TEXT, Stored(data=b"", extension="txt"), View())[1] == 2


def test_rows_without_a_text_are_padding_of_the_tokenizer() -> None:
    class Shifted(ByteTokenizer):
        @property
        def padding_id(self) -> int:
            return 7

    rows = TextRenderer(modality=Text(length=5, tokenizer=Shifted())).empty(2)
    assert rows.dtype == torch.int64
    assert np.array_equal(rows.numpy(), np.full((2, 5), 7))
    assert extent_of(TEXT, text(["a"])) == Extent()


def test_bytes_that_are_no_text_are_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="The text of 3 bytes is not UTF-8: invalid start byte at byte 1"):
        rendered(TEXT, replace(text(["a"]), data=b"a\xff\xff"), View())
