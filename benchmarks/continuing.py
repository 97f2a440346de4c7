"""Maskloom and its peers, begun or continued as some rank with some workers: keys batch by batch, and the state so far."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.readers.energon import open_loader
from benchmarks.readers.grain import Grain
from benchmarks.readers.maskloom import make_stream
from benchmarks.readers.reader import BATCH
from pipelines.loading import loading_by
from pipelines.state import StreamState
from pipelines.stream import Share
from shards.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process among those that read a global batch together.

    Args:
        rank: Which of them.
        ranks: How many.
        workers: Processes that work for it.
    """

    rank: int
    ranks: int
    workers: int

    @property
    def batch(self) -> int:
        """Its samples of a global batch."""
        return BATCH // self.ranks


State = bytes | None
Continued = tuple[Iterator[list[str]], Callable[[], bytes]]
"""The keys of this rank's batches, and what returns the state after the last of them."""


def maskloom(folder: Path, place: Place, state: State) -> Continued:
    """Continue a Stream."""
    share = Share(rank=place.rank, world_size=place.ranks)
    stream = make_stream(Dataset.open(folder), share=share, loading=loading_by(workers=place.workers))
    if state is not None:
        stream.resume(StreamState.from_json(json.loads(state)))
    return (list(batch.keys) for batch in stream), lambda: json.dumps(stream.state.to_json()).encode()


def mosaicml(folder: Path, place: Place, state: State) -> Continued:
    """Continue a StreamingDataLoader."""
    from streaming import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=place.batch)
    loader = StreamingDataLoader(dataset, batch_size=place.batch, num_workers=place.workers, collate_fn=_keys_by_name)
    if state is not None:
        loader.load_state_dict(json.loads(state))
    return (batch["key"] for batch in loader), lambda: json.dumps(loader.state_dict()).encode()


def litdata(folder: Path, place: Place, state: State) -> Continued:
    """Continue a StreamingDataLoader of litdata."""
    import litdata as peer

    dataset = peer.StreamingDataset(str(folder), shuffle=True, drop_last=True)
    loader = peer.StreamingDataLoader(
        dataset, batch_size=place.batch, num_workers=place.workers, collate_fn=_keys_by_name
    )
    if state is not None:
        loader.load_state_dict(json.loads(state))
    return (batch["key"] for batch in loader), lambda: json.dumps(loader.state_dict()).encode()


def energon(folder: Path, place: Place, state: State) -> Continued:
    """Continue a savable loader; every rank has a state of its own."""
    loader = open_loader(
        folder, _keys, batch=place.batch, rank=place.rank, world_size=place.ranks, workers=place.workers
    )
    if state is not None:
        loader.restore_state_rank(pickle.loads(state))
    return iter(loader), lambda: pickle.dumps(loader.save_state_rank())


def grain(folder: Path, place: Place, state: State) -> Continued:
    """Continue an iterator of grain."""
    from grain import MapDataset, ReadOptions

    samples = MapDataset.source(Grain(folder).records).shuffle(seed=0).map(_key_of_record)[place.rank :: place.ranks]
    dataset = samples.batch(place.batch, drop_remainder=True, batch_fn=list).to_iter_dataset(
        ReadOptions(num_threads=place.workers, prefetch_buffer_size=place.workers)
    )
    iterator = iter(dataset)
    if state is not None:
        iterator.set_state(json.loads(state))
    return iterator, lambda: json.dumps(iterator.get_state()).encode()


def _keys(samples: Sequence[tuple[str, bytes]]) -> list[str]:
    return [key for key, _ in samples]


def _keys_by_name(samples: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {"key": [sample["key"] for sample in samples]}


def _key_of_record(record: bytes) -> str:
    return Grain.pair(record)[0]


CONTINUING: Mapping[str, Callable[[Path, Place, State], Continued]] = {
    "maskloom": maskloom,
    "mosaicml": mosaicml,
    "litdata": litdata,
    "energon": energon,
    "grain": grain,
}
"""By the name of the reader that writes the format."""
