"""BatchReader: from sample ids to a batch."""

from collections.abc import Mapping, Sequence
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
from pipelines.views import ViewSet, ViewSource
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
        fields = [modality.field for modality in self.modalities]
        samples = self.dataset.read(ids, fields)
        keys = tuple(sample.key for sample in samples)
        inputs = {modality.field: _empty_images(len(samples), modality) for modality in self.modalities}
        chosen = np.empty(len(samples), dtype=np.int64)
        for row, sample in enumerate(samples):
            chosen[row], example = self._example(sample, epoch)
            for field, pixels in example.arrays.items():
                inputs[field][row] = render(pixels, example.view)
        return Batch(
            keys=keys,
            inputs=inputs,
            plans=self._plans(keys, epoch),
            stored={name: _tensor(table.read(ids, chosen)) for name, table in self.stored.items()},
            labels=self._labels(ids),
            epoch=epoch,
            step=step,
        )

    def _example(self, sample: Sample, epoch: int) -> tuple[int, Example]:
        """Decode a sample, and choose the view of it and its number."""
        arrays = {modality.field: self._pixels(sample, modality.field) for modality in self.modalities}
        sizes = {pixels.shape[:2] for pixels in arrays.values()}
        if len(sizes) != 1:
            raise CorruptShardError(
                f"The pictures of sample '{sample.key}' of {self.dataset.root} share a view, but differ in size: "
                f"{', '.join(f'{field} {pixels.shape[:2]}' for field, pixels in arrays.items())}."
            )
        height, width = sizes.pop()
        k, view = self.views.choose(sample.key, epoch=epoch, seed=self.seed, height=height, width=width)
        return k, Example(key=sample.key, arrays=arrays, view=view)

    def _pixels(self, sample: Sample, field: str) -> npt.NDArray[np.uint8]:
        data = sample.fields.get(field)
        if data is None:
            raise MissingFieldError(
                f"Sample '{sample.key}' of {self.dataset.root} has no '{field}'; every sample of a stream needs one."
            )
        try:
            return decode_image(data)
        except ImageDecodeError as error:
            raise CorruptShardError(
                f"The '{field}' of sample '{sample.key}' of {self.dataset.root} cannot be used. {error} "
                f"Ingest the dataset again without this sample; `maskloom verify {self.dataset.root}` checks the rest."
            ) from error

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
