import json
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from pipelines.batch import Batch
from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.order import Shuffle
from pipelines.stream import StreamMismatchError, StreamState
from shards.dataset import Dataset
from tests.pipelines.streams import assert_same, open_stream, take

STOPS = [(1,), (11,), (12,), (13,), (3, 4), (1, 11, 1)]


@pytest.fixture(scope="module")
def uninterrupted(dataset: Dataset) -> list[Batch]:
    """The batches of a stream that is never resumed, as many as any test takes."""
    return take(open_stream(dataset), max(map(sum, STOPS)) + 4)


@pytest.mark.parametrize("loading", [Here(), Workers(count=2, start_method="fork"), Threads(count=2)])
@pytest.mark.parametrize("stops", STOPS)
def test_resume_repeats_no_sample_and_skips_none(
    dataset: Dataset, uninterrupted: list[Batch], loading: Loading, stops: tuple[int, ...]
) -> None:
    found, state = [], open_stream(dataset).state
    for count in (*stops, 4):
        stream = open_stream(dataset, loading=loading)
        stream.resume(StreamState.from_json(json.loads(json.dumps(state.to_json()))))
        found += take(stream, count)
        state = stream.state
    for batch, expected in zip(found, uninterrupted[: sum(stops) + 4], strict=True):
        assert_same(batch, expected)


def test_the_state_is_small_and_points_at_the_next_batch(dataset: Dataset) -> None:
    stream = open_stream(dataset)
    steps = [stream.state.position.step]
    with closing(stream):
        steps += [stream.state.position.step for _ in islice(stream, 12)]
    assert steps == list(range(13))
    assert len(json.dumps(stream.state.to_json())) < 500


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("datasets", {}),
        ("order_version", {}),
        ("seed", {"seed": 2}),
        ("global_batch", {"global_batch": 12}),
        ("shuffle", {"shuffle": Shuffle(lanes=2, group_blocks=3)}),
    ],
)
def test_a_state_of_another_stream_is_refused_with_both_values(
    dataset: Dataset, name: str, changed: dict[str, Any]
) -> None:
    stream, saved = open_stream(dataset, **changed), open_stream(dataset).state
    if not changed:
        other = "=another" if name == "datasets" else 4711
        saved = replace(saved, identity=replace(saved.identity, **{name: other}))  # type: ignore[arg-type]
    ours, theirs = getattr(stream.state.identity, name), getattr(saved.identity, name)
    with pytest.raises(StreamMismatchError, match=f"{name} {theirs}, but .* {name} {ours}"):
        stream.resume(saved)


@pytest.mark.parametrize(
    "position",
    [
        {"counters": (1, 2)},
        {"step": -1},
        {"debts": ()},
        {"debts": (2**40,)},
        {"since": 10**9},
    ],
)
def test_a_position_that_makes_no_sense_is_refused(dataset: Dataset, position: dict[str, Any]) -> None:
    stream = open_stream(dataset)
    with pytest.raises(StreamMismatchError, match="makes no sense for a stream of 1 datasets"):
        stream.resume(replace(stream.state, position=replace(stream.state.position, **position)))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"spare": 1},
        {"position": {"step": 3}},
        {"identity": None},
        {"position": []},
        {"position": {"step": "3", "counters": [0], "debts": [0], "since": 0, "pack": 0}},
        {"position": {"step": 3, "counters": [1.5], "debts": [0], "since": 0, "pack": 0}},
    ],
)
def test_a_state_that_cannot_be_understood_is_refused(dataset: Dataset, change: dict[str, Any]) -> None:
    with pytest.raises(StreamMismatchError, match="reads version 2"):
        StreamState.from_json(open_stream(dataset).state.to_json() | change)
