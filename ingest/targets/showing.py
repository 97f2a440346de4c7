"""What a teacher is shown of some samples: every named view, rendered exactly as a stream renders it for training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ingest.targets.look import Look, open_target_read
from pipelines.component import Component, ComponentReader
from pipelines.modalities import Decoded
from pipelines.target_coding import decoder_of
from pipelines.views import NamedView
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError

Given = TypeVar("Given")
Made = TypeVar("Made")


class Showing(Protocol):
    """Makes the input of a teacher."""

    def views(self, ids: Ids) -> tuple[Tensor, list[bool]]:
        """Return all views of some samples, [samples, views, ...], and whether each sample has anything to show.

        Raises:
            CorruptShardError: A sample is damaged.
        """
        ...


def showing_of(dataset: Dataset, look: Look) -> Showing:
    """Return what makes the input of a teacher from a dataset.

    Raises:
        MissingTargetError: The stored target that the teacher reads is not there.
    """
    return ShowStored(dataset, look) if isinstance(look.modality, str) else ShowRendered(dataset, look)


class ShowRendered:
    """Renders all named views of a field, each as a look of its own."""

    def __init__(self, dataset: Dataset, look: Look) -> None:
        assert not isinstance(look.modality, str)
        self._modality: Decoded = look.modality
        self._num_views = look.views.count
        self._reader = ComponentReader(
            Component(dataset=dataset),
            tuple(replace(look.modality, name=_view_name(k), look=k) for k in range(look.views.count)),
            tuple(NamedView(views=look.views, k=k) for k in range(look.views.count)),
            frozenset(),
            seed=0,
        )
        self._blank = self._reader.renderers[_view_name(0)].empty(1)

    def views(self, ids: Ids) -> tuple[Tensor, list[bool]]:
        """See Showing. A sample without the field shows nothing: black, silence, padding."""
        rows, present = [], []
        for example in self._reader.look_at(ids, np.zeros_like(ids)):
            if isinstance(example, CorruptShardError):
                raise example
            rendered = self._reader.render(example)
            present.append(bool(rendered))
            blank = self._blank[0]
            rows.append(torch.stack([rendered.get(_view_name(k), (blank, 0))[0] for k in range(self._num_views)]))
        return torch.stack(rows), present


class ShowStored:
    """Reads what another teacher said about the same views."""

    def __init__(self, dataset: Dataset, look: Look) -> None:
        self._table = open_target_read(dataset, look)
        self._decode = decoder_of(self._table)
        self._num_views = look.views.count

    def views(self, ids: Ids) -> tuple[Tensor, list[bool]]:
        """See Showing. Rows that are all zeros are those of samples that the other teacher was shown nothing of."""
        rows = [self._table.read(ids, np.full(len(ids), k)) for k in range(self._num_views)]
        present = [bool(row.any()) for row in rows[0]]
        return torch.stack([self._decode(torch.from_numpy(row)) for row in rows], dim=1), present


def _view_name(k: int) -> str:
    return f"view{k}"


def ahead(make: Callable[[Given], Made], given: Iterable[Given], *, threads: int, depth: int) -> Iterator[Made]:
    """Yield what `make` makes of everything given, in order, up to `depth` of them made ahead by `threads` threads."""
    with ThreadPoolExecutor(threads, thread_name_prefix="show") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in given:
                waiting.append(pool.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
