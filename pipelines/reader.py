"""BatchReader: from sample ids to a batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from pipelines.batch import Batch
from pipelines.example import Example
from pipelines.masking.plan import Masking, MaskPlan
from pipelines.modalities import Image
from pipelines.transforms.image import ImageDecodeError, decode_image, render
from pipelines.views import View, ViewSet, ViewSource
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError, MissingFieldError, SettingsError, did_you_mean
from shards.sample import Sample
from shards.target_table import TargetTable


@dataclass(frozen=True, kw_only=True)
class BatchReader:
    """Reads, decodes, renders and masks the samples of one batch; holds no state, so any process may read any batch."""

    dataset: Dataset
    modalities: tuple[Image, ...]
    views: ViewSource
    masking: Mapping[str, Masking]
    stored: Mapping[str, TargetTable]
    seed: int

    def __post_init__(self) -> None:
        fields = [modality.field for modality in self.modalities]
        _require_distinct(fields)
        for modality in self.modalities:
            _require_held(self.dataset, modality.field)
            _require_size(modality, self.views.size)
        for field in self.masking:
            if field not in fields:
                raise SettingsError(
                    f"There is a masking for '{field}', but the modalities are {', '.join(fields) or 'none'}."
                    f"{did_you_mean(field, fields)}"
                )
        for name, table in self.stored.items():
            _require_replayed(name, table, self.views)

    def read(self, ids: Ids, *, epoch: int, step: int) -> Batch:
        """Return the batch of the samples `ids`.

        Raises:
            CorruptShardError: Stored bytes are damaged, or are not a picture; names dataset and key.
            MissingFieldError: A sample lacks a field that the batch needs.
        """
        samples = self.dataset.read(ids, [modality.field for modality in self.modalities])
        keys = tuple(sample.key for sample in samples)
        # All views are chosen before the first picture is decoded: between two pictures the same code would run from
        # cold caches, and take five times as long.
        chosen = [self._choose(sample, epoch) for sample in samples]
        numbers = np.array([k for k, _ in chosen], dtype=np.int64)
        return Batch(
            keys=keys,
            inputs=self._render(map(self._decode, samples, [view for _, view in chosen]), len(samples)),
            plans=self._plans(keys, epoch),
            stored={name: _tensor(table.read(ids, numbers)) for name, table in self.stored.items()},
            labels=self._labels(ids),
            epoch=epoch,
            step=step,
        )

    def _choose(self, sample: Sample, epoch: int) -> tuple[int, View]:
        """Choose the view of a sample, and return its number and the view."""
        sizes = {modality.field: self._recorded_size(sample, modality.field) for modality in self.modalities}
        height, width = next(iter(sizes.values()))
        if len(set(sizes.values())) != 1:
            raise CorruptShardError(
                f"The pictures of sample '{sample.key}' of {self.dataset.root} share a view, but differ in size: "
                f"{', '.join(f'{field} {size}' for field, size in sizes.items())}."
            )
        return self.views.choose(sample.key, epoch=epoch, seed=self.seed, height=height, width=width)

    def _recorded_size(self, sample: Sample, field: str) -> tuple[int, int]:
        if field not in sample.fields:
            raise MissingFieldError(
                f"Sample '{sample.key}' of {self.dataset.root} has no '{field}'; every sample of a stream needs one."
            )
        return sample.facts[f"{field}.height"], sample.facts[f"{field}.width"]

    def _decode(self, sample: Sample, view: View) -> Example:
        arrays = {modality.field: self._pixels(sample, modality.field) for modality in self.modalities}
        return Example(key=sample.key, arrays=arrays, view=view)

    def _pixels(self, sample: Sample, field: str) -> npt.NDArray[np.uint8]:
        try:
            pixels = decode_image(sample.fields[field])
        except ImageDecodeError as error:
            raise CorruptShardError(
                f"The '{field}' of sample '{sample.key}' of {self.dataset.root} cannot be used. {error} "
                f"Ingest the dataset again without this sample; `maskloom verify {self.dataset.root}` checks the rest."
            ) from error
        if pixels.shape[:2] != self._recorded_size(sample, field):
            raise CorruptShardError(
                f"The '{field}' of sample '{sample.key}' of {self.dataset.root} has {pixels.shape[:2]} pixels, but "
                f"{self._recorded_size(sample, field)} were recorded. Run `maskloom verify {self.dataset.root}`."
            )
        return pixels

    def _render(self, examples: Iterator[Example], num_samples: int) -> dict[str, Tensor]:
        """Carry out the views of all examples, one decoded picture at a time."""
        inputs = {modality.field: _empty_images(num_samples, modality) for modality in self.modalities}
        for row, example in enumerate(examples):
            for field, pixels in example.arrays.items():
                inputs[field][row] = render(pixels, example.view)
        return inputs

    def _plans(self, keys: Sequence[str], epoch: int) -> dict[str, MaskPlan]:
        return {
            modality.field: self.masking[modality.field].plan(keys, modality=modality, seed=self.seed, epoch=epoch)
            for modality in self.modalities
            if modality.field in self.masking
        }

    def _labels(self, ids: Ids) -> Tensor | None:
        if "label" not in self.dataset.manifest.fields:
            return None
        return torch.from_numpy(self.dataset.column(ids, "label").astype(np.int64))


def _empty_images(num_samples: int, modality: Image) -> UInt8[Tensor, "batch channels side side"]:
    shape = (num_samples, modality.channels, modality.size, modality.size)
    # Decoded pictures keep their channels together; in the same layout they are copied in one piece.
    return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)


def _tensor(rows: npt.NDArray[np.generic]) -> Shaped[Tensor, "batch ..."]:
    return torch.from_numpy(np.require(rows, requirements=["C", "W"]))


def _require_distinct(fields: Sequence[str]) -> None:
    if not fields:
        raise SettingsError("A stream needs at least one modality; none was given.")
    for field in fields:
        if fields.count(field) > 1:
            raise SettingsError(f"Several modalities read the field '{field}'; each has to read its own.")


def _require_held(dataset: Dataset, field: str) -> None:
    held = dataset.manifest.fields
    if field not in held:
        raise MissingFieldError(
            f"A modality reads the field '{field}', but {dataset.root} holds only {', '.join(held)}."
            f"{did_you_mean(field, held)}"
        )


def _require_size(modality: Image, size: int) -> None:
    if modality.size != size:
        raise SettingsError(
            f"The modality '{modality.field}' takes pictures of {modality.size} pixels, but the views have {size}."
        )


def _require_replayed(name: str, table: TargetTable, views: ViewSource) -> None:
    """Raise SettingsError unless `views` are those that the stored target was computed on."""
    recorded = ViewSet.from_json(table.spec.views)
    if views != recorded:
        raise SettingsError(
            f"The stored target '{name}' was computed on {recorded}, but the stream looks at {views}. "
            "A stored target belongs to its own views: give the stream ViewSet.from_json(table.spec.views)."
        )
