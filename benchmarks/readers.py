"""Readers of small pictures, maskloom and its peers, behind one interface: write once, read in shuffled batches, resume.

Every reader gets its own recommended loader without worker processes, batches of 32, and shuffling as it does it. What is
done with the samples of a batch is the same for all: `collate` gets (key, JPEG bytes) pairs. Datasets of peers are opened
once and kept, as a trainer would; maskloom is opened again for every epoch, so that it never profits from a warm index.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.run import origin_of
from ingest.settings import IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.folder import FolderSource
from pipelines.modalities import Image
from pipelines.order import EpochOrder
from pipelines.stream import Stream
from pipelines.transforms.image import decode_image, render
from pipelines.views import FreshViews, RandomResizedCrop
from shards.dataset import Dataset
from shards.manifest import seal

BATCH = 32
SIDE = 224
SHARD_SIZE = 256
SHUFFLE_BUFFER = 500
CROP = RandomResizedCrop(size=SIDE, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)

Pair = tuple[str, bytes]
Collate = Callable[[Sequence[Pair]], Any]


def untouched(samples: Sequence[Pair]) -> Sequence[Pair]:
    """Leave the bytes as they are."""
    return samples


def decoded(samples: Sequence[Pair]) -> torch.Tensor:
    """Decode, crop and resize the pictures into one batch: uint8 [batch, 3, 224, 224], as a Stream does it."""
    batch = torch.empty((len(samples), 3, SIDE, SIDE), dtype=torch.uint8, memory_format=torch.channels_last)
    for row, (key, data) in enumerate(samples):
        pixels = decode_image(data)
        view = CROP.view(key, 0, height=pixels.shape[0], width=pixels.shape[1], seed=0)
        batch[row] = render(pixels, view)
    return batch


class Reader(Protocol):
    """A format on disk and the loader that goes with it."""

    name: str
    module: str

    def write(self, pictures: Path) -> None:
        """Write the pictures of a folder once."""
        ...

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch, shuffled."""
        ...

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads batch number `batch` of the first epoch."""
        ...


class Maskloom:
    """maskloom itself: batches by the order function, read at random."""

    name = "maskloom"
    module = "shards"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once, unchanged."""
        source, settings = FolderSource(pictures, folder_labels=False), IngestSettings(shard_size=SHARD_SIZE)
        plan = make_plan(source.scan(), settings)
        self._folder.mkdir()
        commit_plan(self._folder, plan)
        for shard in range(plan.num_shards):
            write_shard(self._folder, shard, pictures)
        seal(self._folder, origin_of(source, plan))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch: bytes by `Dataset.read`, pictures by the real Stream."""
        if collate is decoded:
            stream = self.stream()
            return islice(stream, stream.steps_per_epoch)
        return self._raw(epoch, first=0)

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""
        if collate is not decoded:
            return lambda: next(self._raw(0, first=batch))

        def read() -> object:
            stream = self.stream()
            stream.resume(type(stream.state)(**{**stream.state.to_json(), "step": batch}))
            return next(stream)

        return read

    def stream(self) -> Stream:
        """Open the dataset as a trainer does."""
        return Stream(
            Dataset.open(self._folder),
            modalities=[Image(size=SIDE, patch=16)],
            views=FreshViews(policy=CROP),
            masking={},
            global_batch=BATCH,
            seed=0,
        )

    def _raw(self, epoch: int, *, first: int) -> Iterator[Any]:
        steps = _RawSteps(Dataset.open(self._folder), epoch)
        sampler = range(first, steps.order.steps_per_epoch)
        return iter(DataLoader(steps, sampler=sampler, batch_size=None, collate_fn=lambda samples: samples))


class _RawSteps(TorchDataset[list[Pair]]):
    """A map from step to the undecoded samples of its batch."""

    def __init__(self, dataset: Dataset, epoch: int) -> None:
        self.order = EpochOrder(num_samples=dataset.num_samples, global_batch=BATCH, seed=0)
        self._dataset = dataset
        self._epoch = epoch

    def __getitem__(self, step: int) -> list[Pair]:
        samples = self._dataset.read(self.order.batch(self._epoch, step), ("image",))
        return [(sample.key, sample.fields["image"]) for sample in samples]


class Webdataset:
    """Sequential tars with a shuffle buffer; resuming reads again what was read before."""

    name = "webdataset"
    module = "webdataset"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pictures: Path) -> None:
        """Write the pictures once."""
        import webdataset

        self._folder.mkdir()
        pattern = str(self._folder / "%06d.tar")
        with webdataset.ShardWriter(pattern, maxcount=SHARD_SIZE, verbose=0) as writer:
            for path in sorted(pictures.iterdir()):
                writer.write({"__key__": path.stem, "jpg": path.read_bytes()})

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch."""
        import webdataset

        tars = sorted(map(str, self._folder.glob("*.tar")))
        samples = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=epoch).shuffle(SHUFFLE_BUFFER)
        return DataLoader(samples.to_tuple("__key__", "jpg"), batch_size=BATCH, collate_fn=collate)

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads on to one batch in the middle."""
        return lambda: next(islice(iter(self.batches(collate, 0)), batch, None))


class Mosaic:
    """MosaicML Streaming: MDS shards, its shuffle, its loader."""

    name = "mosaicml"
    module = "streaming"

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

        return StreamingDataLoader(self._dataset, batch_size=BATCH, collate_fn=_PairsFirst(collate))

    def batches(self, collate: Collate, epoch: int) -> Iterable[Any]:
        """Return the batches of a whole epoch; the dataset counts epochs itself."""
        loader: Iterable[Any] = self._loader(collate)
        return loader

    def resumed(self, collate: Collate, batch: int) -> Callable[[], Any]:
        """Return a function that opens everything and reads one batch in the middle."""

        def read() -> object:
            loader = self._loader(collate)
            loader.load_state_dict(self._dataset.state_dict(batch * BATCH, True))
            return next(iter(loader))

        return read


class Litdata:
    """litdata: chunks, its shuffle, its loader."""

    name = "litdata"
    module = "litdata"

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
        return litdata.StreamingDataLoader(dataset, batch_size=BATCH, collate_fn=_PairsFirst(collate))

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


class _PairsFirst:
    """Turns samples that are dictionaries into pairs, then collates."""

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401
        return self._collate([(sample["key"], sample["image"]) for sample in samples])


def _key_and_image(path: str) -> dict[str, Any]:
    return {"key": Path(path).stem, "image": Path(path).read_bytes()}


READERS: Sequence[type[Maskloom | Webdataset | Mosaic | Litdata]] = (Maskloom, Webdataset, Mosaic, Litdata)


def is_installed(reader: type[Maskloom | Webdataset | Mosaic | Litdata]) -> bool:
    """Tell whether the package of a reader can be found."""
    return importlib.util.find_spec(reader.module) is not None
