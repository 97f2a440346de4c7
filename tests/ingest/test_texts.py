from pathlib import Path

import pytest

from ingest.items import Part
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import Filters, Limits
from ingest.texts import store_metadata, store_text


@pytest.mark.parametrize(
    "raw, stored",
    [
        (b"plain", "plain"),
        ("\ufeffwith a mark".encode(), "with a mark"),
        ("cafe\u0301".encode(), "caf\u00e9"),
        (b"two\r\nlines\rand\nmore", "two\nlines\nand\nmore"),
        (b"  \t around \n\n", "around"),
        (b"one\n\n  two  \n\t\nthree", "one\ntwo\nthree"),
        ("\u56fe\u50cf \U0001f600".encode(), "\u56fe\u50cf \U0001f600"),
    ],
)
def test_captions_become_normal_utf_8(raw: bytes, stored: str) -> None:
    assert store_text(raw, "text", Filters()).data == stored.encode()


@pytest.mark.parametrize(
    "raw, reason",
    [
        (b"caf\xe9", "bad_text_encoding"),
        ("caf\u00e9".encode("utf-16"), "bad_text_encoding"),
        (b"\xed\xa0\x80", "bad_text_encoding"),
        (b"", "empty_text"),
        (b" \r\n\t", "empty_text"),
        ("\ufeff".encode(), "empty_text"),
    ],
)
def test_captions_that_are_none_are_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(Rejection) as caught:
        store_text(raw, "text", Filters())
    assert caught.value.reason == reason


def test_a_caption_that_is_too_long_is_refused(tmp_path: Path) -> None:
    raw = RawBytes(tmp_path, [], Limits(text_bytes=5))
    assert raw.read(Part(field="text", kind="text", inline=b"12345")) == b"12345"
    with pytest.raises(Rejection, match="too_many_bytes: text: 6 bytes, the limit is 5"):
        raw.read(Part(field="text", kind="text", inline=b"123456"))


def test_captions_are_counted_one_to_a_line() -> None:
    facts = store_text("a dog\n\nein Hündchen\n".encode(), "text", Filters()).facts
    assert facts == {"captions": 2, "characters": len("a dog\nein Hündchen"), "longest": len("ein Hündchen")}


@pytest.mark.parametrize(
    "filters, reason",
    [
        (Filters(min_characters=4), "too_short: 3 characters; the least is 4"),
        (Filters(max_characters=6), "too_long: 7 characters; the most is 6"),
    ],
)
def test_a_filter_looks_at_the_shortest_and_the_longest_caption(filters: Filters, reason: str) -> None:
    with pytest.raises(Rejection, match=reason):
        store_text(b"one\nseventh", "text", filters)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[" * 100_000, b"[1]", b'{"a": NaN}', '{"a": 1}'.encode("utf-16")]
)
def test_metadata_that_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejection, match="bad_text_encoding"):
        store_metadata(raw, "metadata")


def test_metadata_is_stored_as_it_is() -> None:
    assert store_metadata(b' {"b": 1, "a": [2]} ', "metadata").data == b' {"b": 1, "a": [2]} '
