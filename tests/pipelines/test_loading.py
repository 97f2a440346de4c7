import multiprocessing
import os
import signal
import threading
from contextlib import closing
from itertools import islice

import pytest

from pipelines.batch import Batch
from pipelines.loading import Loading, Threads, WorkerDiedError, Workers, worker_deaths
from shards.dataset import Dataset
from shards.errors import SettingsError
from tests.pipelines.streams import assert_same, open_stream, take

AHEAD = [
    Workers(count=1, start_method="fork"),
    Workers(count=4, start_method="fork"),
    Threads(count=1),
    Threads(count=3),
    pytest.param(Workers(count=2, start_method="spawn"), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def here(dataset: Dataset) -> list[Batch]:
    """Batches that this process makes, when they are asked for."""
    return take(open_stream(dataset), 14)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores are meant
@pytest.mark.parametrize("loading", AHEAD)
def test_who_makes_the_batches_changes_nothing(dataset: Dataset, here: list[Batch], loading: Loading) -> None:
    elsewhere = take(open_stream(dataset, loading=loading), 14)
    for found, expected in zip(elsewhere, here, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("loading", [Workers(count=1), Threads(count=2)])
def test_iterating_again_continues(dataset: Dataset, loading: Loading) -> None:
    stream = open_stream(dataset, loading=loading)
    with closing(stream):
        steps = [batch.step for _ in range(3) for batch in islice(stream, 2)]
        stream.close()
        steps += [batch.step for batch in islice(stream, 2)]
    assert steps == list(range(8))


def test_closing_stops_the_workers(dataset: Dataset) -> None:
    stream = open_stream(dataset, loading=Workers(count=2))
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert not multiprocessing.active_children()


def test_closing_stops_the_threads(dataset: Dataset) -> None:
    stream = open_stream(dataset, loading=Threads(count=2))
    next(stream)
    assert any(thread.name.startswith("stream") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("stream") for thread in threading.enumerate())


def test_workers_make_their_batches_in_the_memory_that_hands_them_over(dataset: Dataset) -> None:
    (batch,) = take(open_stream(dataset, loading=Workers(count=1)), 1)
    (here,) = take(open_stream(dataset), 1)
    assert batch.inputs["image"].is_shared()
    assert batch.inputs["image"].stride() == here.inputs["image"].stride()


def test_ways_of_loading_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="0 threads"):
        Threads(count=0)
    with pytest.raises(SettingsError, match="-1 worker processes"):
        Workers(count=-1)
    with pytest.raises(SettingsError, match="Did you mean 'spawn'"):
        Workers(count=1, start_method="spwan")


def test_a_worker_that_is_killed_is_told_in_words(dataset: Dataset) -> None:
    stream = open_stream(dataset, loading=Workers(count=1))
    next(stream)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)  # type: ignore[arg-type]
    with pytest.raises(WorkerDiedError, match="out of memory"), worker_deaths():
        for _ in range(50):
            next(stream)
    stream.close()
