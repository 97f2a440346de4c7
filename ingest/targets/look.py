"""What a teacher is shown: which field, how it is rendered, on which named views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ingest.teachers import Compute, Teacher
from pipelines.modalities import Clip, Decoded, Image, LogMel, Waveform
from pipelines.views import (
    CenterCrop,
    CentreClip,
    RandomClip,
    RandomResizedCrop,
    RandomSpan,
    TimePolicy,
    ViewPolicy,
    ViewSet,
    WholeSpan,
)
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError, did_you_mean
from shards.target_table import TargetTable

_CLIP_KINDS = ("frames", "clip")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The views that were asked for.

    Args:
        views: Named random views; 0 for the one in the middle.
        scale: Smallest and largest share of the picture that a crop takes.
        flip: Probability that a view is mirrored.
        seed: Decides all views.
        field: The field that the teacher is shown; empty for the one that it is made for.
        frames: Frames of a clip.
        stride: Stored frames from one frame of a clip to the next.
        tubelet: Frames of a clip that share one target, that of the first of them.
        seconds: Length of a random span of sound; None for all of it.
    """

    views: int
    scale: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5
    seed: int = 0
    field: str = ""
    frames: int = 16
    stride: int = 1
    tubelet: int = 2
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """A teacher, and what it is shown.

    Args:
        teacher: The teacher.
        modality: What is rendered for it, or the name of the stored target that it reads.
        views: The named views.
        shape: Shape of one view's target.
    """

    teacher: Teacher
    modality: Decoded | str
    views: ViewSet
    shape: tuple[int, ...]

    def load(self, device: torch.device) -> Compute:
        """Return the function from what is rendered, on `device`, to float32 or int64 [batch, *shape]."""
        compute = self.teacher.load(device)
        return _per_frame(compute, self.modality, self.shape) if isinstance(self.modality, Clip) else compute

    def to_json(self) -> dict[str, Any]:
        """Return what is shown as JSON values, as `TargetSpec.looks_at` keeps it."""
        match self.modality:
            case str():
                return {"target": self.modality}
            case Clip(field=field, frames=frames, tubelet=tubelet):
                return {"field": field, "frames": frames, "tubelet": tubelet}
            case _:
                return {"field": self.modality.field}


def look_of(teacher: Teacher, wish: Wish, dataset: Dataset) -> Look:
    """Return how a teacher is shown a dataset as a user wishes it.

    Raises:
        MissingFieldError: The dataset does not hold the field.
        MissingTargetError: The teacher reads a stored target that is not there.
        SettingsError: The field is of another kind than the teacher is shown, or the views make no sense.
    """
    if isinstance(teacher.modality, str):
        table = dataset.target(teacher.modality)
        return _look(teacher, table.spec.target_id, ViewSet.from_json(table.spec.views))
    modality = _modality(teacher.modality, wish, dataset)
    where, when = _where(modality, wish), _when(modality, wish)
    count = 1 if where is None and isinstance(when, WholeSpan) else max(1, wish.views)  # all of a sound is one view
    return _look(teacher, modality, ViewSet(policy=where, count=count, seed=wish.seed, time=when))


def recorded_look(teacher: Teacher, looks_at: Mapping[str, Any], views: ViewSet) -> Look:
    """Return the look that `Look.to_json` wrote."""
    if "target" in looks_at:
        return _look(teacher, str(looks_at["target"]), views)
    assert not isinstance(teacher.modality, str)
    if "frames" in looks_at:
        return _look(teacher, _clip(teacher.modality, **looks_at), views)
    return _look(teacher, replace(teacher.modality, field=looks_at["field"]), views)


def open_target_read(dataset: Dataset, look: Look) -> TargetTable:
    """Open the stored target that a teacher reads."""
    assert isinstance(look.modality, str)
    return dataset.target(look.modality)


def _look(teacher: Teacher, modality: Decoded | str, views: ViewSet) -> Look:
    shape = teacher.shape
    if isinstance(modality, Clip):
        times = modality.frames // modality.tubelet
        shape = (times * shape[0], *shape[1:])
    return Look(teacher=teacher, modality=modality, views=views, shape=shape)


def _modality(shown: Decoded, wish: Wish, dataset: Dataset) -> Decoded:
    field, kinds = wish.field or shown.field, dataset.manifest.kinds
    if field not in kinds and not wish.field:
        field = _only_field(shown, dataset)
    if field not in kinds:
        raise MissingFieldError(
            f"The teacher looks at the field '{field}', but {dataset.root} holds only {', '.join(kinds) or 'nothing'}."
            f"{did_you_mean(field, kinds)} Name another one with --field."
        )
    if kinds[field] in shown.kinds:
        return replace(shown, field=field)
    if isinstance(shown, Image) and kinds[field] in _CLIP_KINDS:
        return _clip(shown, field=field, frames=wish.frames, tubelet=wish.tubelet)
    raise SettingsError(
        f"The teacher looks at {' or '.join(shown.kinds)}, but the field '{field}' of {dataset.root} holds "
        f"{kinds[field]}. Name another field with --field, or another teacher."
    )


def _only_field(shown: Decoded, dataset: Dataset) -> str:
    """Return the one field that a teacher can be shown where there is none of the usual name."""
    fitting = [
        name
        for name, kind in dataset.manifest.kinds.items()
        if kind in shown.kinds or (isinstance(shown, Image) and kind in _CLIP_KINDS)
    ]
    return fitting[0] if len(fitting) == 1 else shown.field


def _clip(shown: Decoded, *, field: str, frames: int, tubelet: int) -> Clip:
    assert isinstance(shown, Image)
    return Clip(size=shown.size, patch=shown.patch, frames=frames, tubelet=tubelet, field=field)


def _where(modality: Decoded, wish: Wish) -> ViewPolicy | None:
    size = getattr(modality, "size", None)
    if size is None:
        return None
    if wish.views == 0:
        return CenterCrop(size=size)
    return RandomResizedCrop(size=size, scale=wish.scale, ratio=(3 / 4, 4 / 3), flip_probability=wish.flip)


def _when(modality: Decoded, wish: Wish) -> TimePolicy | None:
    match modality:
        case Clip(frames=frames):
            return (RandomClip if wish.views else CentreClip)(count=frames, stride=wish.stride)
        case LogMel() | Waveform():
            return WholeSpan() if wish.seconds is None or not wish.views else RandomSpan(seconds=wish.seconds)
        case _:
            return None


def _per_frame(compute: Compute, clip: Clip, shape: tuple[int, ...]) -> Compute:
    """Return the function that shows a teacher of pictures the first frame of every tubelet."""

    def computed(clips: Tensor) -> Tensor:
        frames = clips[:, :, :: clip.tubelet].transpose(1, 2).flatten(0, 1)
        return compute(frames).reshape(len(clips), *shape)

    return computed
