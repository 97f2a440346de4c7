"""What a teacher was shown of a sample: one named view, rendered as a stream renders it, as pictures for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from pipelines.component import Component, ComponentReader
from pipelines.inspect import wording
from pipelines.inspect.pictures import nearest, smaller
from pipelines.inspect.rasters import show_band, show_ids, show_logmel
from pipelines.modalities import Clip, Image, LogMel, Raster
from pipelines.tokenizers.vq.contents import Tokenised
from pipelines.views import Extent, NamedView, View, ViewSet
from shards.dataset import Dataset
from shards.errors import CorruptShardError, SettingsError

LONGEST = 256
"""Longer side, in pixels, of the pictures that targets are shown with."""
MOST_PIXELS = 1 << 26
"""Pixels of a view, over all its frames, that are rendered to be shown."""

Pictured = Image | Clip | Raster | LogMel
"""Modalities that can be shown as pictures."""

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a teacher was shown of one sample.

    Args:
        pictures: RGB or RGBA pictures [height, width, channels]: one, or of a clip the one that stands for each token in time.
        captions: What each picture is, in a word.
    """

    pictures: tuple[Picture, ...]
    captions: tuple[str, ...]


class Looking:
    """Shows what a teacher was shown: view `k` of a set.

    Args:
        dataset: Where samples come from.
        modality: What is rendered.
        views: The named views.
        tubelet: Frames of a clip for which the teacher was shown the first.
        k: Which view.

    Raises:
        SettingsError: A view is too large to be rendered for a page.
    """

    def __init__(self, dataset: Dataset, modality: Pictured, views: ViewSet, *, tubelet: int = 1, k: int = 0) -> None:
        _require_modest(modality)
        self.modality = modality
        self._tubelet = tubelet
        self._reader = ComponentReader(
            Component(dataset=dataset), (modality,), (NamedView(views=views, k=k),), frozenset(), seed=0
        )

    @property
    def times(self) -> int:
        """How many pictures the teacher was shown."""
        return self.modality.frames // self._tubelet if isinstance(self.modality, Clip) else 1

    def at(self, number: int) -> Seen | None:
        """Return what a teacher was shown of a sample; None if the sample lacks the field.

        Raises:
            CorruptShardError: The sample is damaged.
        """
        (example,) = self._reader.look_at(np.array([number]), np.zeros(1, np.int64))
        if isinstance(example, CorruptShardError):
            raise example
        rendered = self._reader.render(example)
        if self.modality.name not in rendered:
            return None
        (extent, view), (row, _) = example.views[0], rendered[self.modality.name]
        if isinstance(self.modality, Clip):
            return self._clip(row, extent, view)
        return Seen(pictures=(pictured(row, self.modality),), captions=(_where(view),))

    def _clip(self, row: Tensor, extent: Extent, view: View) -> Seen:
        frames = row.permute(1, 2, 3, 0)[:: self._tubelet]
        times = [extent.times[frame] for frame in view.frames[:: self._tubelet]]
        return Seen(
            pictures=tuple(smaller(frame.numpy(), longest=LONGEST) for frame in frames),
            captions=tuple(f"{wording.seconds(time)} · {_where(view)}" for time in times),
        )


def looking_of(
    dataset: Dataset, looks_at: Mapping[str, Any], views: ViewSet, *, tokenised: Tokenised | None
) -> Looking | None:
    """Return what shows the first view that a teacher was shown; None if it was shown nothing that is a picture.

    Args:
        dataset: The dataset.
        looks_at: What the teacher was shown, as `TargetSpec.looks_at` has it.
        views: The named views.
        tokenised: What the teacher is made for, if that is known: the length of sound does not follow from the others.

    Raises:
        SettingsError: A view is too large to be rendered for a page.
    """
    field, size = str(looks_at.get("field")), views.size
    kind = dataset.manifest.kinds.get(field)
    if kind == "logmel" and isinstance(tokenised, LogMel):
        return Looking(dataset, replace(tokenised, field=field, name="", look=0), views)
    if size < 1:
        return None
    if kind == "image":
        return Looking(dataset, Image(size=size, patch=size, field=field), views)
    if kind in ("raster", "ids"):
        channels = tokenised.channels if isinstance(tokenised, Raster) else 1
        is_ids = kind == "ids"
        raster = Raster(size=size, patch=size, field=field, channels=channels, is_ids=is_ids)
        return Looking(dataset, raster, views)
    if kind in ("frames", "clip") and "frames" in looks_at:
        clip = Clip(size=size, patch=size, frames=looks_at["frames"], tubelet=1, field=field)
        return Looking(dataset, clip, views, tubelet=looks_at["tubelet"])
    return None


def pictured(row: Shaped[Tensor, "..."], modality: Image | Raster | LogMel) -> Picture:
    """Return a rendered row of a modality, or a reconstruction of it, as a small picture [height, width, channels]."""
    if isinstance(modality, Image):
        return smaller(np.ascontiguousarray(row.permute(1, 2, 0).numpy()), longest=LONGEST)
    values = row.float().numpy() if row.dtype == torch.float16 else row.numpy()
    if isinstance(modality, LogMel):
        return show_logmel(values)
    first = nearest(values[0, :, :, None], longest=LONGEST)[:, :, 0]
    return show_ids(first)[0] if modality.is_ids else show_band(first, field=modality.field).pixels


def stretched(values: Shaped[np.ndarray, "rows columns ..."], *, like: Picture) -> Shaped[np.ndarray, "..."]:
    """Make a map as high and wide as a picture, taking the nearest value everywhere; never mixing."""
    rows, columns = (_nearest(count, length) for count, length in zip(values.shape[:2], like.shape[:2], strict=True))
    return np.asarray(values[rows][:, columns])


def _nearest(count: int, length: int) -> npt.NDArray[np.int64]:
    """Return which of `count` equal parts each of `length` pixels lies in, by its centre."""
    return (2 * np.arange(length) + 1) * count // (2 * length)


def _where(view: View) -> str:
    """Say where a view looks."""
    if not view.height:
        return "all of it"
    rows, columns = f"{view.top} to {view.top + view.height - 1}", f"{view.left} to {view.left + view.width - 1}"
    return f"rows {rows}, columns {columns}{', mirrored' if view.flip else ''}"


def _require_modest(modality: Pictured) -> None:
    sides: Sequence[int] = (modality.frames, modality.bins) if isinstance(modality, LogMel) else (modality.size,) * 2
    frames = modality.frames if isinstance(modality, Clip) else 1
    if frames * sides[0] * sides[1] > MOST_PIXELS:
        raise SettingsError(f"Views of {frames} x {sides[0]} x {sides[1]} values are too large to be shown on a page.")
