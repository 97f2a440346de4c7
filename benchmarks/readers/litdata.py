"""litdata."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.readers.reader import BATCH, Collate, PairsFirst


class Litdata:
    """Chunks, its shuffle, its loader."""

    name = "litdata"
    modules = ("litdata",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once."""
        import litdata

        litdata.optimize(
            fn=_key_and_image,
            inputs=sorted(map(str, pictures.iterdir())),
            output_dir=str(self._folder),
            chunk_bytes="64MB",
            num_workers=1,
            start_method="fork",
            verbose=False,
        )

    @cache  # noqa: B019 - a reader lives as long as the process
    def _loader(self, collate: Collate) -> Any:  # noqa: ANN401
        import litdata

        dataset = litdata.StreamingDataset(str(self._folder), shuffle=True, drop_last=False)
        return litdata.StreamingDataLoader(dataset, batch_size=BATCH, collate_fn=PairsFirst(collate))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch; the loader counts epochs itself."""
        loader: Iterable[Any] = self._loader(collate)
        return loader

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""
        before = Litdata(self._folder)._loader(collate)
        for _ in islice(iter(before), batch):
            pass
        state = before.state_dict()

        def read() -> object:
            loader = self._loader(collate)
            loader.load_state_dict(state)
            return next(iter(loader))

        return read


def _key_and_image(path: str) -> dict[str, Any]:
    return {"key": Path(path).stem, "image": Path(path).read_bytes()}
