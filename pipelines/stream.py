"""Stream: sealed datasets as a resumable sequence of batches.

Which samples a batch takes comes from `visits`, how they are looked at from `views`, who is hidden from `masking`; all are
pure functions of the seed, the position and the key of the sample. So nothing about a batch depends on the number of
workers or on what was read before, and the state of a stream is where it stands: a few whole numbers.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.batch import Batch
from pipelines.component import Component
from pipelines.damage import DamageLedger, DamagePolicy, RaiseOnDamage
from pipelines.lengths import Lengths
from pipelines.loading import Here, Loading
from pipelines.masking.separate import Maskings
from pipelines.mixing import require_weight_at_all_steps
from pipelines.modalities import Modality
from pipelines.order import ORDER_VERSION, SampleOrder, Shuffle
from pipelines.packing import Packing
from pipelines.randomness import hash_key
from pipelines.reader import BatchReader
from pipelines.state import StreamIdentity, StreamMismatchError, StreamState
from pipelines.views import FreshViews, ViewPolicy, ViewSource
from pipelines.visits import BatchPlan, LengthsOf, Mixture, PackBatches, Position, SampleBatches, Visits
from shards.dataset import Dataset
from shards.errors import SettingsError
from shards.target_table import TargetTable

__all__ = ["Component", "Stream", "StreamMismatchError", "StreamState", "sequential", "steps_per_epoch"]

Views = ViewPolicy | ViewSource

WIDEST_SHUFFLE = Shuffle()
NO_DAMAGE = RaiseOnDamage()
HERE = Here()


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which part of every global batch a rank reads."""

    rank: int = 0
    world_size: int = 1


WHOLE = Share()


class Stream:
    """A sequence of this rank's batches that can be resumed at any of them; endless unless `steps` says otherwise.

    The global batches are the same for every world size that divides `global_batch` and every way of loading. `state`
    after a batch is where to resume. Iterating twice continues; it does not start again.

    Args:
        components: The datasets that are mixed, each with its weight and stored targets; several need names.
        modalities: What is rendered.
        views: How samples are looked at: a policy, whose view number e epoch e looks at, FreshViews, or the ViewSet that
            stored targets were computed on; one for each look.
        masking: The masking of each modality by its name, or one for several together; a modality without one gets no plan.
        global_batch: Samples per step over all ranks; with `packing`, packs.
        seed: Decides the order, the views and the masks.
        shuffle: How widely samples are shuffled.
        packing: Puts samples together by their length; None leaves every sample by itself.
        damage: What becomes of damaged samples.
        ledger: Where damaged samples are counted and written down; None counts without a limit.
        share: Which part of each global batch to read.
        loading: Who makes batches, and how far ahead.
        steps: Global batches after which the stream ends; None for never.
        encoded: Names of picture modalities that are handed over as they are stored, for `pipelines.device` to decode.
        pin_memory: Whether batches are handed over in page-locked memory, for asynchronous copies to a GPU.

    Raises:
        SettingsError: The parts do not fit together; before anything is read.
        MissingFieldError: No dataset holds the field of a modality.
        MissingTargetError: A stored target is not there.
    """

    def __init__(
        self,
        components: Sequence[Component],
        *,
        modalities: Sequence[Modality],
        views: Views | Sequence[Views],
        masking: Maskings,
        global_batch: int,
        seed: int,
        shuffle: Shuffle = WIDEST_SHUFFLE,
        packing: Packing | None = None,
        damage: DamagePolicy = NO_DAMAGE,
        ledger: DamageLedger | None = None,
        share: Share = WHOLE,
        loading: Loading = HERE,
        steps: int | None = None,
        encoded: Collection[str] = (),
        pin_memory: bool = False,
    ) -> None:
        _require_names(components)
        self._components = tuple(components)
        lengths_of = None if packing is None else Lengths.of(self._components, packing)
        self._reader = BatchReader(
            components=self._components,
            modalities=tuple(modalities),
            looks=_looks(views),
            masking=masking,
            damage=damage,
            seed=seed,
            encoded=frozenset(encoded),
            lengths_of=lengths_of,
        )
        mixture = _mixture(self._components, seed=seed, shuffle=shuffle)
        self._plan = _batch_plan(mixture, size=global_batch, seed=seed, packing=packing, lengths_of=lengths_of)
        start = Position.start(len(components))
        self._plan.part(self._plan.batch(start)[0], rank=share.rank, world_size=share.world_size)
        identity = _identity(self._components, seed=seed, size=global_batch, shuffle=shuffle, packing=packing)
        self._state = StreamState(identity=identity, position=start)
        self._share = share
        self._loading = loading
        self._ledger = ledger
        self._steps = steps
        self._pin_memory = pin_memory
        self._running: Generator[Batch] | None = None
        self._ahead: dict[int, Position] = {}

    @property
    def state(self) -> StreamState:
        """The position after the last batch handed out."""
        return self._state

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Batch:
        """Return the next batch; see `BatchReader.read` for the errors.

        Raises:
            StopIteration: `steps` batches have been handed out.
            TooMuchDamageError: More samples are damaged than the ledger allows.
        """
        try:
            if self._running is None:
                self._running = self._loading.start(self._reader, self._orders(), pin_memory=self._pin_memory)
            batch = next(self._running)
            if self._ledger is not None:
                self._ledger.record(batch.damage)
            position = self._ahead.pop(batch.step)
        except BaseException:
            # What was read ahead is dropped, and the next call starts again at the batch that was not handed out.
            self.close()
            raise
        self._state = replace(self._state, position=position)
        return batch

    def resume(self, state: StreamState) -> None:
        """Continue at `state`, in constant time.

        Raises:
            StreamMismatchError: The state belongs to another stream; the message names both values.
        """
        self._state.require_same_stream(state)
        self.close()
        self._state = state

    def close(self) -> None:
        """Stop reading ahead and drop what was read; the next batch starts again where `state` says."""
        if self._running is not None:
            running, self._running = self._running, None
            running.close()
        self._ahead.clear()

    def visits(self) -> Iterator[Visits]:
        """Yield the visits of the global batches from `state` on, over all ranks, without reading a sample."""
        position = self._state.position
        while not self._is_over(position):
            visits, position = self._plan.batch(position)
            yield visits

    def _orders(self) -> Iterator[tuple[int, Visits]]:
        """Yield what this rank reads from `state` on, and note the position after each batch."""
        position = self._state.position
        while not self._is_over(position):
            visits, after = self._plan.batch(position)
            self._ahead[position.step] = after
            yield position.step, self._plan.part(visits, rank=self._share.rank, world_size=self._share.world_size)
            position = after

    def _is_over(self, position: Position) -> bool:
        return self._steps is not None and position.step >= self._steps


def steps_per_epoch(datasets: Sequence[Dataset], *, global_batch: int) -> float:
    """Return how many batches take as many samples as all datasets have together; batches go on across that border."""
    return sum(dataset.num_samples for dataset in datasets) / global_batch


def sequential(
    dataset: Dataset,
    *,
    modalities: Sequence[Modality],
    views: Views | Sequence[Views],
    batch: int,
    stored: Mapping[str, TargetTable] | None = None,
    loading: Loading = HERE,
) -> Iterator[Batch]:
    """Yield every sample once, in the order of ids, in batches of `batch`; the last one may be smaller.

    For evaluation: the views of epoch 0 under seed 0, no masks. With `stored` targets, `views` have to be theirs.

    Raises:
        MissingFieldError: The dataset does not hold the field of a modality.
        CorruptShardError: Stored bytes are damaged, or are not a picture; names dataset and key.
    """
    reader = BatchReader(
        components=(Component(dataset=dataset, stored=stored or {}),),
        modalities=tuple(modalities),
        looks=_looks(views),
        masking={},
        damage=RaiseOnDamage(),
        seed=0,
    )
    starts = range(0, dataset.num_samples, batch)
    runs = (np.arange(start, min(start + batch, dataset.num_samples)) for start in starts)
    orders = (
        (step, Visits(datasets=np.zeros_like(ids), ids=ids, epochs=np.zeros_like(ids))) for step, ids in enumerate(runs)
    )
    yield from loading.start(reader, orders, pin_memory=False)


def _looks(views: Views | Sequence[Views]) -> tuple[ViewSource, ...]:
    return tuple(map(_source, views if isinstance(views, Sequence) else [views]))


def _source(views: Views) -> ViewSource:
    return views if isinstance(views, ViewSource) else FreshViews(policy=views)


def _mixture(components: Sequence[Component], *, seed: int, shuffle: Shuffle) -> Mixture:
    weights = tuple(component.weight for component in components)
    require_weight_at_all_steps(weights)
    orders = (
        SampleOrder(num_samples=component.dataset.num_samples, seed=hash_key(seed, component.name), shuffle=shuffle)
        for component in components
    )
    return Mixture(orders=tuple(orders), weights=weights)


def _batch_plan(
    mixture: Mixture, *, size: int, seed: int, packing: Packing | None, lengths_of: LengthsOf | None
) -> BatchPlan:
    if size < 1:
        raise SettingsError(f"A global batch of {size} was asked for; it has to be at least 1.")
    if packing is None or lengths_of is None:
        return SampleBatches(mixture=mixture, size=size)
    return PackBatches(mixture=mixture, size=size, packing=packing, lengths_of=lengths_of, seed=seed)


def _identity(
    components: Sequence[Component], *, seed: int, size: int, shuffle: Shuffle, packing: Packing | None
) -> StreamIdentity:
    is_mixed = len(components) > 1
    weights = (component.weight.describe() for component in components)
    return StreamIdentity(
        datasets=",".join(f"{component.name}={component.dataset.dataset_id}" for component in components),
        order_version=ORDER_VERSION,
        seed=seed,
        global_batch=size,
        shuffle=f"{shuffle.lanes}x{shuffle.group_blocks}",
        weights=",".join(weights) if is_mixed else "",
        packing="" if packing is None else packing.describe(),
    )


def _require_names(components: Sequence[Component]) -> None:
    if not components:
        raise SettingsError("A stream needs at least one dataset; none was given.")
    names = [component.name for component in components]
    if len(set(names)) < len(names) or (len(names) > 1 and "" in names):
        raise SettingsError(f"The datasets of a mixture are called {names}; give each a name of its own.")
