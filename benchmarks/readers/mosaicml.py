"""MosaicML Streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.readers.reader import BATCH, Collate, PairsFirst


class Mosaic:
    """MDS shards, its shuffle, its loader."""

    name = "mosaicml"
    modules = ("streaming", "transformers")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once."""
        from streaming import MDSWriter

        with MDSWriter(out=str(self._folder), columns={"key": "str", "image": "bytes"}) as writer:
            for path in sorted(pictures.iterdir()):
                writer.write({"key": path.stem, "image": path.read_bytes()})

    @cached_property
    def _dataset(self) -> Any:  # noqa: ANN401 - the package is optional
        from streaming import StreamingDataset

        return StreamingDataset(local=str(self._folder), shuffle=True, batch_size=BATCH)

    def _loader(self, collate: Collate) -> Any:  # noqa: ANN401
        from streaming import StreamingDataLoader

        return StreamingDataLoader(self._dataset, batch_size=BATCH, collate_fn=PairsFirst(collate))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch; the dataset counts epochs itself."""
        loader: Iterable[Any] = self._loader(collate)
        return loader

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""

        def read() -> object:
            loader = self._loader(collate)
            # Before the first epoch the dataset counts from -1, and a state of that epoch would not be looked at.
            loader.load_state_dict(self._dataset.state_dict(batch * BATCH, True) | {"epoch": 0})
            return next(iter(loader))

        return read
