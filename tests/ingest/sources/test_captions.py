from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.captions import one_line


@given(st.text())
def test_a_caption_is_one_line_whatever_it_holds(caption: str) -> None:
    assert len(one_line(caption).splitlines()) <= 1


@given(st.text(alphabet="ab ,.é"))
def test_a_caption_of_one_line_stays_as_it_is(caption: str) -> None:
    assert one_line(caption) == caption
