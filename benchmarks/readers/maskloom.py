"""maskloom itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.readers.reader import BATCH, CROP, SHARD_SIZE, SIDE, Collate, decoded
from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.run import origin_of
from ingest.settings import IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.folder import FolderSource
from pipelines.loading import Loading
from pipelines.modalities import Image
from pipelines.state import StreamState
from pipelines.stream import HERE, WHOLE, Component, Share, Stream
from pipelines.views import FreshViews
from pipelines.visits import Position
from shards.dataset import Dataset
from shards.manifest import seal


class Maskloom:
    """Pictures by the real Stream; bytes by the visits of the same Stream and `Dataset.read`."""

    name = "maskloom"
    modules = ("shards",)

    def __init__(self, folder: Path, *, shard_size: int = SHARD_SIZE) -> None:
        self._folder = folder
        self._shard_size = shard_size

    def write(self, pictures: Path) -> None:
        """Write the pictures once, unchanged."""
        source, settings = FolderSource(pictures, folder_labels=False), IngestSettings(shard_size=self._shard_size)
        plan = make_plan(source.scan(), settings)
        self._folder.mkdir()
        commit_plan(self._folder, plan)
        for shard in range(plan.num_shards):
            write_shard(self._folder, shard, pictures)
        seal(self._folder, origin_of(source, plan))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return as many batches as one epoch takes; the last of them may go on into the next epoch."""
        dataset = self.opened()
        steps = -(-dataset.num_samples // BATCH)
        return islice(self._read(dataset, collate, step=epoch * steps), steps)

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""
        return lambda: next(self._read(self.opened(), collate, step=batch))

    def opened(self) -> Dataset:
        """Open the dataset."""
        return Dataset.open(self._folder)

    def _read(self, dataset: Dataset, collate: Collate, *, step: int) -> Iterator[Any]:
        stream = make_stream(dataset)
        stream.resume(state_at(stream, step))
        return stream if collate is decoded else _raw(dataset, stream)


class MaskloomKept(Maskloom):
    """The same, opened once and kept, as the datasets of the peers are: the index is warm after the first epoch."""

    name = "maskloom kept"

    @cached_property
    def _dataset(self) -> Dataset:
        return Dataset.open(self._folder)

    def opened(self) -> Dataset:
        """Return the dataset that was opened first."""
        return self._dataset


def make_stream(
    dataset: Dataset, *, global_batch: int = BATCH, share: Share = WHOLE, loading: Loading = HERE
) -> Stream:
    """Open a stream of pictures as a trainer does."""
    return Stream(
        [Component(dataset=dataset)],
        modalities=[Image(size=SIDE, patch=16)],
        views=FreshViews(policy=CROP),
        masking={},
        global_batch=global_batch,
        seed=0,
        share=share,
        loading=loading,
    )


def state_at(stream: Stream, step: int) -> StreamState:
    """Return the state of a stream of one dataset, without packing, before batch `step`."""
    samples = step * stream.state.identity.global_batch
    return replace(stream.state, position=Position(step=step, counters=(samples,), debts=(0,), since=step))


def _raw(dataset: Dataset, stream: Stream) -> Iterator[list[tuple[str, bytes]]]:
    for visits in stream.visits():
        yield [(sample.key, sample.fields["image"]) for sample in dataset.read(visits.ids, ("image",))]
