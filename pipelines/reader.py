"""BatchReader: from sample ids to a batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.example import Example
from pipelines.masking.plan import Masking, MaskPlan
from pipelines.modalities import Image, Modality
from pipelines.transforms.image import ImageDecodeError, decode_image, render
from pipelines.transforms.raster import RasterDecodeError, decode_raster, render_raster
from pipelines.views import View, ViewSet, ViewSource, is_aligned
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError, MissingFieldError, SettingsError, did_you_mean
from shards.sample import Sample
from shards.target_table import TargetTable


@dataclass(frozen=True, kw_only=True)
class BatchReader:
    """Reads, decodes, renders and masks the samples of one batch; holds no state, so any process may read any batch.

    All modalities of a sample are rendered with one view, decided by the size of the first image, or of the first modality
    if none is an image. The others show the same scene edge to edge, with as many pixels as they have.
    """

    dataset: Dataset
    modalities: tuple[Modality, ...]
    views: ViewSource
    masking: Mapping[str, Masking]
    stored: Mapping[str, TargetTable]
    seed: int

    def __post_init__(self) -> None:
        fields = [modality.field for modality in self.modalities]
        _require_distinct(fields)
        for modality in self.modalities:
            _require_held(self.dataset, modality)
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
            CorruptShardError: Stored bytes are damaged, are not a picture, or differ in shape; names dataset and key.
            MissingFieldError: A sample lacks a field that the batch needs.
            SettingsError: A raster has another number of channels than its modality.
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

    @cached_property
    def _leader(self) -> Modality:
        """The modality in whose pixels views are counted."""
        return next((modality for modality in self.modalities if isinstance(modality, Image)), self.modalities[0])

    def _choose(self, sample: Sample, epoch: int) -> tuple[int, View]:
        """Choose the view of a sample, and return its number and the view."""
        sizes = {modality.field: self._recorded_size(sample, modality.field) for modality in self.modalities}
        height, width = sizes[self._leader.field]
        if not all(is_aligned(size, (height, width)) for size in sizes.values()):
            raise CorruptShardError(
                f"The pictures of sample '{sample.key}' of {self.dataset.root} share a view, but differ in shape: "
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
        arrays = {modality.field: self._values(sample, modality) for modality in self.modalities}
        return Example(key=sample.key, arrays=arrays, view=view)

    def _values(self, sample: Sample, modality: Modality) -> npt.NDArray[np.generic]:
        field, data = modality.field, sample.fields[modality.field]
        try:
            values = decode_image(data) if isinstance(modality, Image) else decode_raster(data)
        except (ImageDecodeError, RasterDecodeError) as error:
            raise CorruptShardError(
                f"The '{field}' of sample '{sample.key}' of {self.dataset.root} cannot be used. {error} "
                f"Ingest the dataset again without this sample; `maskloom verify {self.dataset.root}` checks the rest."
            ) from error
        if values.shape[:2] != self._recorded_size(sample, field):
            raise CorruptShardError(
                f"The '{field}' of sample '{sample.key}' of {self.dataset.root} has {values.shape[:2]} pixels, but "
                f"{self._recorded_size(sample, field)} were recorded. Run `maskloom verify {self.dataset.root}`."
            )
        if values.shape[2] != modality.channels:
            raise SettingsError(
                f"The modality '{field}' takes {modality.channels} channels, but the '{field}' of sample '{sample.key}' of "
                f"{self.dataset.root} has {values.shape[2]}; give the modality as many."
            )
        return values

    def _render(self, examples: Iterator[Example], num_samples: int) -> dict[str, Tensor]:
        """Carry out the views of all examples, one decoded sample at a time."""
        inputs = {modality.field: _empty_rows(num_samples, modality) for modality in self.modalities}
        for row, example in enumerate(examples):
            whole = _size(example.arrays[self._leader.field])
            for modality in self.modalities:
                values = example.arrays[modality.field]
                inputs[modality.field][row] = _rendered(values, modality, example.view, whole=whole)
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


def _rendered(
    values: npt.NDArray[np.generic], modality: Modality, view: View, *, whole: tuple[int, int]
) -> Shaped[Tensor, "channels side side"]:
    """Carry out a view that counts in the pixels of a picture of the size `whole`."""
    if isinstance(modality, Image):
        return render(values, view if _size(values) == whole else _mapped(view, whole, onto=_size(values)))
    return render_raster(values, view, height=whole[0], width=whole[1])


def _size(values: npt.NDArray[np.generic]) -> tuple[int, int]:
    height, width = values.shape[:2]
    return height, width


def _mapped(view: View, whole: tuple[int, int], *, onto: tuple[int, int]) -> View:
    """Return a view of a picture as that of one of another size, to the nearest pixel."""
    top, height = _span(view.top, view.height, whole=whole[0], onto=onto[0])
    left, width = _span(view.left, view.width, whole=whole[1], onto=onto[1])
    return replace(view, top=top, left=left, height=height, width=width)


def _span(start: int, length: int, *, whole: int, onto: int) -> tuple[int, int]:
    """Return start and length of a span in a line of `onto` instead of `whole` pixels; at least one is left."""
    first = min(round(start * onto / whole), onto - 1)
    last = round((start + length) * onto / whole)
    return first, max(last - first, 1)


def _empty_rows(num_samples: int, modality: Modality) -> Shaped[Tensor, "batch channels side side"]:
    shape = (num_samples, modality.channels, modality.size, modality.size)
    if isinstance(modality, Image):
        # Decoded pictures keep their channels together; in the same layout they are copied in one piece.
        return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
    return torch.empty(shape, dtype=torch.int64 if modality.is_ids else torch.float32)


def _tensor(rows: npt.NDArray[np.generic]) -> Shaped[Tensor, "batch ..."]:
    return torch.from_numpy(np.require(rows, requirements=["C", "W"]))


def _require_distinct(fields: Sequence[str]) -> None:
    if not fields:
        raise SettingsError("A stream needs at least one modality; none was given.")
    for field in fields:
        if fields.count(field) > 1:
            raise SettingsError(f"Several modalities read the field '{field}'; each has to read its own.")


def _require_held(dataset: Dataset, modality: Modality) -> None:
    held, field = dataset.manifest.kinds, modality.field
    if field not in held:
        raise MissingFieldError(
            f"A modality reads the field '{field}', but {dataset.root} holds only {', '.join(held)}."
            f"{did_you_mean(field, held)}"
        )
    if held[field] != modality.kind:
        raise SettingsError(
            f"The modality '{field}' decodes the kind '{modality.kind}', but the '{field}' of {dataset.root} is of the kind "
            f"'{held[field]}'. Choose another modality for it."
        )


def _require_size(modality: Modality, size: int) -> None:
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
