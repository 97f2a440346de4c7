"""webdataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from benchmarks.readers.reader import BATCH, SHARD_SIZE, SHUFFLE_BUFFER, Collate


class Webdataset:
    """Sequential tars with a shuffle buffer; resuming reads again what was read before."""

    name = "webdataset"
    modules = ("webdataset",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once."""
        write_tars(self._folder, pictures)

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch."""
        import webdataset

        tars = sorted(map(str, self._folder.glob("*.tar")))
        samples = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=epoch).shuffle(SHUFFLE_BUFFER)
        return DataLoader(samples.to_tuple("__key__", "jpg"), batch_size=BATCH, collate_fn=collate)

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads on to one batch in the middle."""
        return lambda: next(islice(iter(self.batches(collate, 0)), batch, None))


def write_tars(folder: Path, pictures: Path) -> None:
    """Write the pictures of a folder as tars, one sample after the other."""
    import webdataset

    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=SHARD_SIZE, verbose=0) as writer:
        for path in sorted(pictures.iterdir()):
            writer.write({"__key__": path.stem, "jpg": path.read_bytes()})
