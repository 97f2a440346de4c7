"""One of the datasets that a stream mixes: its samples, read, example at and rendered one by one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from pipelines.encoded import EncodedPicture, encoded_picture
from pipelines.example import Example
from pipelines.mixing import EQUAL, Weight
from pipelines.modalities import Clip, Decoded, Image, LogMel, Modality, Stored, Waveform
from pipelines.permutation import Int64s
from pipelines.rendering import Renderer, renderer_for
from pipelines.rendering.image import ImageRenderer, KeptPictures
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, View, ViewSource, is_aligned
from shards.dataset import Dataset, Ids
from shards.errors import CorruptShardError, Damage, SettingsError
from shards.sample import Sample
from shards.schema import ABSENT, LABEL
from shards.target_table import TargetTable

_LEADERS_IN_SPACE = (Image, Clip)
_LEADERS_IN_TIME = (Clip, LogMel, Waveform)

Row = tuple[Shaped[Tensor, "..."], int]
"""What a modality of one sample renders to, and how many of its tokens are real."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """A dataset in a mixture.

    Args:
        dataset: Where samples come from.
        name: What it is called in states and messages; empty if it is the only one.
        weight: How much of it is taken, in proportion to the weights of the others.
        stored: Stored targets to read beside the samples, by the name they have in the batch.
    """

    dataset: Dataset
    name: str = ""
    weight: Weight = EQUAL
    stored: Mapping[str, TargetTable] = field(default_factory=dict)


@dataclass(frozen=True)
class ComponentReader:
    """Reads the samples of one dataset for some modalities; keeps nothing but what the dataset keeps."""

    component: Component
    modalities: tuple[Modality, ...]
    looks: tuple[ViewSource, ...]
    encoded: frozenset[str]
    seed: int

    @cached_property
    def renderers(self) -> Mapping[str, Renderer]:
        """What renders the modalities that this dataset holds, by the name of the modality."""
        found = {
            modality.name: renderer_for(modality, self.component.dataset)
            for modality in self.modalities
            if not isinstance(modality, Stored) and modality.field in self.component.dataset.manifest.fields
        }
        return _decoding_once(found)

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(renderer.field for renderer in self.renderers.values()))

    def look_at(self, ids: Ids, epochs: Int64s) -> Iterator[Example | CorruptShardError]:
        """Read samples and choose how each is looked at; yield what is wrong with those that are damaged."""
        for sample, epoch in zip(self.component.dataset.read_each(ids, self._fields), epochs.tolist(), strict=True):
            if isinstance(sample, CorruptShardError):
                yield sample
                continue
            try:
                yield self._look(sample, epoch)
            except CorruptShardError as error:
                yield error

    def view_numbers(self, keys: Sequence[str], epochs: Int64s) -> Int64s:
        """Return the number of the view of every look, [samples, looks], where nothing has to be decoded."""
        columns = [
            source.numbers(keys, epochs=epochs, seed=self.seed, look=look) for look, source in enumerate(self.looks)
        ]
        return np.stack(columns, axis=1)

    def _look(self, sample: Sample, epoch: int) -> Example:
        extents = {
            name: renderer.extent(sample.facts)
            for name, renderer in self.renderers.items()
            if _holds(sample, renderer.field)
        }
        numbers, views = [], []
        for look, source in enumerate(self.looks):
            extent = self._extent(sample, look, extents)
            number, view = source.choose(sample.key, epoch=epoch, seed=self.seed, extent=extent, look=look)
            numbers.append(number)
            views.append((extent, view))
        return Example(sample=sample, numbers=tuple(numbers), views=tuple(views))

    def render(self, example: Example) -> dict[str, Row]:
        """Render the modalities that a sample has, by name.

        Raises:
            CorruptShardError: A field cannot be decoded, or is not what was recorded; names dataset and key.
            SettingsError: A field does not fit its modality.
        """
        sample = example.sample
        return {
            modality.name: self._rendered(sample, modality.name, *example.views[modality.look])
            for modality in self.modalities
            if modality.name in self.renderers
            and modality.name not in self.encoded
            and _holds(sample, self.renderers[modality.name].field)
        }

    def encode(self, example: Example) -> dict[str, EncodedPicture]:
        """Return the pictures of a sample that are to be decoded on the device, by the name of the modality.

        Raises:
            CorruptShardError: A picture is no JPEG; names dataset and key.
        """
        sample = example.sample
        return {
            modality.name: self._encoded(sample, modality, *example.views[modality.look])
            for modality in self.modalities
            if modality.name in self.encoded and isinstance(modality, Image) and _holds(sample, modality.field)
        }

    def _encoded(self, sample: Sample, modality: Image, extent: Extent, view: View) -> EncodedPicture:
        try:
            return encoded_picture(
                sample.fields[modality.field],
                modality,
                key=sample.key,
                facts=sample.facts,
                view=view,
                extent=extent,
            )
        except DecodeError as error:
            raise self._unusable(sample, modality.field, error) from error

    def labels(self, ids: Ids) -> Int64s:
        """Return the labels of samples as the dataset numbers them, -1 where there is none."""
        if LABEL not in self.component.dataset.manifest.fields:
            return np.full(len(ids), ABSENT, np.int64)
        return self.component.dataset.column(ids, LABEL).astype(np.int64)

    def _rendered(self, sample: Sample, name: str, extent: Extent, view: View) -> Row:
        renderer = self.renderers[name]
        field, root = renderer.field, self.component.dataset.root
        data = sample.frames[field] if field in sample.frames else sample.fields[field]
        try:
            return renderer.render(data, sample.facts, view, extent)
        except DecodeError as error:
            raise self._unusable(sample, field, error) from error
        except SettingsError as error:
            raise SettingsError(f"The '{field}' of sample '{sample.key}' of {root}: {error}") from error

    def _unusable(self, sample: Sample, field: str, error: DecodeError) -> CorruptShardError:
        root = self.component.dataset.root
        return CorruptShardError(
            f"The '{field}' of sample '{sample.key}' of {root} cannot be used. {error} Ingest the dataset again without "
            f"this sample; `maskloom verify {root}` checks the rest.",
            key=sample.key,
            field=field,
            kind=Damage.DECODE,
        )

    def _extent(self, sample: Sample, look: int, extents: Mapping[str, Extent]) -> Extent:
        """Return how large a sample is for all modalities of a look: as its first picture, and its first clip or sound."""
        shown: list[tuple[Decoded, Extent]] = [
            (modality, extents[modality.name])
            for modality in self.modalities
            if modality.look == look and modality.name in extents and not isinstance(modality, Stored)
        ]
        sized = [(modality, extent) for modality, extent in shown if extent.height]
        self._require_aligned(sample, sized)
        space = _leader(sized, _LEADERS_IN_SPACE)
        time = _leader([pair for pair in shown if pair[1].seconds or pair[1].times], _LEADERS_IN_TIME)
        return Extent(height=space.height, width=space.width, times=time.times, seconds=time.seconds)

    def _require_aligned(self, sample: Sample, sized: Sequence[tuple[Decoded, Extent]]) -> None:
        sizes = {modality.field: (extent.height, extent.width) for modality, extent in sized}
        if len(sizes) < 2:
            return
        first = next(iter(sizes.values()))
        if not all(is_aligned(size, first) for size in sizes.values()):
            raise CorruptShardError(
                f"The pictures of sample '{sample.key}' of {self.component.dataset.root} share a view, but differ in shape: "
                f"{', '.join(f'{name} {size}' for name, size in sizes.items())}.",
                key=sample.key,
                kind=Damage.DECODE,
            )


def _decoding_once(renderers: Mapping[str, Renderer]) -> Mapping[str, Renderer]:
    """Let looks at the same picture share what is decoded."""
    shown = Counter(renderer.field for renderer in renderers.values() if isinstance(renderer, ImageRenderer))
    shared = {field: KeptPictures() for field, looks in shown.items() if looks > 1}
    return {
        name: replace(renderer, decode=shared[renderer.field])
        if isinstance(renderer, ImageRenderer) and renderer.field in shared
        else renderer
        for name, renderer in renderers.items()
    }


def _holds(sample: Sample, field: str) -> bool:
    return field in sample.fields or field in sample.frames


def _leader(shown: Sequence[tuple[Decoded, Extent]], leaders: tuple[type, ...]) -> Extent:
    """Return the extent of the first modality of a type that leads, or else of the first there is."""
    for kind in leaders:
        for modality, extent in shown:
            if isinstance(modality, kind):
                return extent
    return shown[0][1] if shown else Extent()
