"""Stream: a sealed dataset as an endless, resumable sequence of batches.

The order comes from `order`, the views from `views`, the masks from `masking`; all are pure functions of the seed, the
epoch and the key of the sample. So nothing about a batch depends on the number of workers or on what was read before,
and the state of a stream is two numbers: where it stands, `(epoch, step)`.
"""

import signal
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from pipelines.batch import Batch
from pipelines.masking.plan import Masking
from pipelines.modalities import Modality
from pipelines.order import ORDER_VERSION, EpochOrder, SequentialOrder, rank_slice
from pipelines.reader import BatchReader
from pipelines.views import FreshViews, ViewPolicy, ViewSource
from shards.dataset import Dataset
from shards.errors import MaskloomError
from shards.target_table import TargetTable

STATE_VERSION = 1

Address = tuple[int, int]
"""Epoch and step of a batch."""


class StreamMismatchError(MaskloomError):
    """A saved position belongs to another stream than the one that should resume from it."""


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """The exact point to resume at, the same on every rank: the next batch is `step` of `epoch`.

    The other values say which stream it belongs to; a stream that differs in one of them refuses to resume from it.
    """

    version: int
    dataset_id: str
    order_version: int
    seed: int
    global_batch: int
    epoch: int
    step: int

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StreamState":
        """Return the state that `to_json` wrote.

        Raises:
            StreamMismatchError: It was written by another version, or is not a state at all.
        """
        if data.get("version") != STATE_VERSION or set(data) != set(cls.__dataclass_fields__):
            raise StreamMismatchError(
                f"The saved position in the data has version {data.get('version')} and the entries {', '.join(data)}; "
                f"this version of maskloom reads version {STATE_VERSION}."
            )
        return cls(**data)


class Stream:
    """An endless sequence of this rank's batches, epoch after epoch, that can be resumed at any of them.

    The global batches are the same for every `world_size` that divides `global_batch` and every number of `workers`.
    `state` after a batch is where to resume. Iterating twice continues; it does not start again.

    Args:
        dataset: Where samples come from.
        modalities: What is decoded; each from its own field.
        views: How the pictures are cropped: FreshViews, or the ViewSet that the stored targets were computed on.
        masking: The masking of each modality, by field; a modality without one gets no plan.
        stored: Stored targets to read beside the pixels, by the name they have in the batch.
        global_batch: Samples per step over all ranks.
        seed: Decides the order, the views and the masks.
        rank: Which part of each global batch to read.
        world_size: How many ranks share a global batch.
        workers: Processes that read ahead; with 0, batches are read when they are asked for.
        start_method: How workers are started (`fork`, `spawn`, `forkserver`); None for the default of the platform.
        pin_memory: Whether batches are handed over in page-locked memory, for asynchronous copies to a GPU.

    Raises:
        SettingsError: The parts do not fit together; before anything is read.
        MissingFieldError: The dataset does not hold the field of a modality.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        modalities: Sequence[Modality],
        views: ViewSource,
        masking: Mapping[str, Masking],
        global_batch: int,
        seed: int,
        stored: Mapping[str, TargetTable] | None = None,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
        start_method: str | None = None,
        pin_memory: bool = False,
    ) -> None:
        self.order = EpochOrder(num_samples=dataset.num_samples, global_batch=global_batch, seed=seed)
        reader = BatchReader(
            dataset=dataset,
            modalities=tuple(modalities),
            views=views,
            masking=masking,
            stored=stored or {},
            seed=seed,
        )
        self._loading = _Loading(
            batches=_Batches(
                reader=reader, order=self.order, part=rank_slice(global_batch, rank=rank, world_size=world_size)
            ),
            workers=workers,
            start_method=start_method,
            pin_memory=pin_memory,
        )
        self._state = StreamState(
            version=STATE_VERSION,
            dataset_id=dataset.dataset_id,
            order_version=ORDER_VERSION,
            seed=seed,
            global_batch=global_batch,
            epoch=0,
            step=0,
        )
        self._running: Generator[Batch] | None = None

    @property
    def state(self) -> StreamState:
        """The position after the last batch handed out."""
        return self._state

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.order.steps_per_epoch

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Batch:
        """Return the next batch; see `BatchReader.read` for the errors."""
        if self._running is None:
            self._running = self._loading.start(self._addresses())
        try:
            batch = next(self._running)
        except Exception:
            # A generator that has raised is over; the next call starts a new one at the same batch.
            self.close()
            raise
        epoch, step = self._after(batch.epoch, batch.step)
        self._state = replace(self._state, epoch=epoch, step=step)
        return batch

    def resume(self, state: StreamState) -> None:
        """Continue at `state`, in constant time.

        Raises:
            StreamMismatchError: The state belongs to another dataset, order, seed or batch size, or there is no such
                step; the message names both values.
        """
        _require_same_stream(self._state, state)
        if state.epoch < 0 or not 0 <= state.step < self.steps_per_epoch:
            raise StreamMismatchError(
                f"The saved position is step {state.step} of epoch {state.epoch}, "
                f"but an epoch of this stream has steps 0..{self.steps_per_epoch - 1}."
            )
        self.close()
        self._state = state

    def close(self) -> None:
        """Stop the workers and drop what they have read ahead; the next batch starts them again where `state` says."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _addresses(self) -> Iterator[Address]:
        address = self._state.epoch, self._state.step
        while True:
            yield address
            address = self._after(*address)

    def _after(self, epoch: int, step: int) -> Address:
        return (epoch, step + 1) if step + 1 < self.steps_per_epoch else (epoch + 1, 0)


def sequential(
    dataset: Dataset, *, modalities: Sequence[Modality], views: ViewPolicy, batch: int, workers: int = 0
) -> Iterator[Batch]:
    """Yield every sample once, in the order of ids, in batches of `batch`; the last one may be smaller.

    For evaluation: view 0 of the policy under seed 0, no masks, no stored targets.

    Raises:
        MissingFieldError: The dataset does not hold the field of a modality.
        CorruptShardError: Stored bytes are damaged, or are not a picture; names dataset and key.
    """
    order = SequentialOrder(num_samples=dataset.num_samples, batch_size=batch)
    reader = BatchReader(
        dataset=dataset,
        modalities=tuple(modalities),
        views=FreshViews(policy=views),
        masking={},
        stored={},
        seed=0,
    )
    loading = _Loading(
        batches=_Batches(reader=reader, order=order, part=slice(None)),
        workers=workers,
        start_method=None,
        pin_memory=False,
    )
    yield from loading.start((0, step) for step in range(order.steps_per_epoch))


@dataclass(frozen=True, kw_only=True)
class _Batches(TorchDataset[Batch | MaskloomError]):
    """A map from address to batch, as workers see it: a part of each global batch of an order."""

    reader: BatchReader
    order: EpochOrder | SequentialOrder
    part: slice

    def __getitem__(self, address: Address) -> Batch | MaskloomError:
        """Return the batch, or the error that prevented it.

        An error is returned, not raised: a DataLoader would wrap its message in the traceback of the worker.
        """
        epoch, step = address
        try:
            return self.reader.read(self.order.batch(epoch, step)[self.part], epoch=epoch, step=step)
        except MaskloomError as error:
            return error


@dataclass(frozen=True, kw_only=True)
class _Loading:
    """How batches are loaded: here, or ahead of time by worker processes."""

    batches: _Batches
    workers: int
    start_method: str | None
    pin_memory: bool

    def start(self, addresses: Iterable[Address]) -> Generator[Batch]:
        """Yield the batches at `addresses`; workers, of one thread each, live as long as the generator."""
        loader = DataLoader(
            self.batches,
            sampler=_Addresses(addresses),
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_unchanged,
            worker_init_fn=_ignore_interrupts,
            multiprocessing_context=self.start_method if self.workers else None,
            pin_memory=self.pin_memory,
            # The seeds that torch hands to workers are not used, and drawing them must not touch the global generator.
            generator=torch.Generator(),
        )
        for loaded in loader:
            if isinstance(loaded, MaskloomError):
                raise loaded
            yield loaded


class _Addresses(Sampler[Address]):
    """Addresses in the order they are given."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses = addresses

    def __iter__(self) -> Iterator[Address]:
        return iter(self._addresses)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(loaded: Any) -> Any:  # noqa: ANN401 - a loader without batching collates single items
    return loaded


def _require_same_stream(stream: StreamState, saved: StreamState) -> None:
    """Raise StreamMismatchError unless both states belong to one stream."""
    for name in ("version", "dataset_id", "order_version", "seed", "global_batch"):
        ours, theirs = getattr(stream, name), getattr(saved, name)
        if ours != theirs:
            raise StreamMismatchError(
                f"The saved position belongs to a stream with {name} {theirs}, but this stream has {name} {ours}. "
                f"Resume with the same {name}, or start a new run."
            )
