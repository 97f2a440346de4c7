"""Megatron-Energon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.readers.reader import BATCH, SHUFFLE_BUFFER, Collate
from benchmarks.readers.webdataset import write_tars

_DATASET = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


class Energon:
    """Tars, its index, its shuffle buffer, its loader with state; nothing decoded by it (`decoder = None`)."""

    name = "energon"
    modules = ("megatron.energon", "webdataset")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once, and let Energon prepare them."""
        from megatron.energon.epathlib import EPath
        from megatron.energon.flavors import BaseWebdatasetFactory

        write_tars(self._folder, pictures)
        tars = sorted(path.name for path in self._folder.glob("*.tar"))
        BaseWebdatasetFactory.prepare_dataset(
            EPath(self._folder), tars, split_parts_ratio=[("train", 1.0)], shuffle_seed=None, workers=1
        )
        (self._folder / ".nv-meta" / "dataset.yaml").write_text(_DATASET, encoding="utf-8")

    @cache  # noqa: B019 - a reader lives as long as the process
    def _loader(self, collate: Collate) -> Any:  # noqa: ANN401 - the package is optional
        return open_loader(self._folder, collate)

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch; the loader counts epochs itself."""
        loader: Iterable[Any] = self._loader(collate)
        return loader

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""
        before = open_loader(self._folder, collate)
        for _ in islice(iter(before), batch):
            pass
        state = before.save_state_rank()

        def read() -> object:
            loader = open_loader(self._folder, collate)
            loader.restore_state_rank(state)
            return next(iter(loader))

        return read


def open_loader(  # noqa: ANN201 - the package is optional
    folder: Path, collate: Collate, *, batch: int = BATCH, rank: int = 0, world_size: int = 1, workers: int = 0
):
    """Open a loader with state, whose epochs are as many whole batches as one pass through the dataset has."""
    from megatron.energon import Cooker, DefaultTaskEncoder, WorkerConfig, get_savable_loader, get_train_dataset
    from megatron.energon.task_encoder.base import stateless

    class Encoder(DefaultTaskEncoder[Any, Any, Any, Any]):
        decoder = None
        cookers = [Cooker(stateless(_cook))]  # noqa: RUF012 - as Energon wants it

        @stateless
        def batch(self, samples: Sequence[Any]) -> Any:  # noqa: ANN401
            return collate([(sample["__key__"], sample["jpg"]) for sample in samples])

    config = WorkerConfig(rank=rank, world_size=world_size, num_workers=workers)
    dataset = get_train_dataset(
        folder,
        worker_config=config,
        batch_size=batch,
        shuffle_buffer_size=SHUFFLE_BUFFER,
        max_samples_per_sequence=100,
        virtual_epoch_length=_num_samples(folder) // (batch * world_size),
        task_encoder=Encoder(),
    )
    return get_savable_loader(dataset, watchdog_timeout_seconds=None)


def _num_samples(folder: Path) -> int:
    info = json.loads((folder / ".nv-meta" / ".info.json").read_bytes())
    return sum(info["shard_counts"].values())


def _cook(sample: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave a sample as Energon read it."""
    return sample
