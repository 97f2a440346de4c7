from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shards.spans import coalesce, covering

MIB = 1 << 20
SPANS = st.lists(
    st.tuples(st.integers(0, 200 * MIB), st.integers(1, 20 * MIB)).map(lambda span: (span[0], span[0] + span[1])),
    max_size=30,
)


@given(spans=SPANS)
def test_every_span_lies_in_the_one_extent_that_is_found_for_it(spans: list[tuple[int, int]]) -> None:
    extents = coalesce(spans)
    for start, stop in spans:
        found = covering(extents, start, stop)
        assert found in extents and found[0] <= start and stop <= found[1]
    assert all(first[1] <= second[0] for first, second in pairwise(extents))


@given(spans=SPANS)
def test_extents_are_the_same_whatever_the_order_of_spans(spans: list[tuple[int, int]]) -> None:
    assert coalesce(spans) == coalesce(reversed(spans))


def test_neighbours_are_joined_up_to_16_mib_and_over_gaps_below_1_mib() -> None:
    assert coalesce([(0, 10), (MIB + 9, MIB + 20)]) == [(0, MIB + 20)]
    assert coalesce([(0, 10), (MIB + 10, MIB + 20)]) == [(0, 10), (MIB + 10, MIB + 20)]
    assert coalesce((n * 6 * MIB, (n + 1) * 6 * MIB) for n in range(4)) == [(0, 12 * MIB), (12 * MIB, 24 * MIB)]
    assert covering([], 3, 5) == (3, 5) and covering([(0, 10)], 8, 12) == (8, 12)
