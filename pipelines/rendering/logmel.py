"""Log-mel features."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.modalities import LogMel
from pipelines.rendering.boxes import fact
from pipelines.rendering.renderer import Facts, Payload
from pipelines.rendering.spans import span_of
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.logmel import fit_length
from pipelines.transforms.logmel_spec import LOG_FLOOR, LogMelSpec
from pipelines.transforms.sound import decode_logmel
from pipelines.views import Extent, View
from shards.dataset import Dataset
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class LogMelRenderer:
    """Renders the features of a view as float32 [frames, bins], with silence where there are none.

    Frame i is the one whose window begins i hops after the first; the first begins with the clip. Real are the tokens up
    to the last that holds some sound.

    Args:
        modality: What is rendered.
        hop_seconds: From one frame to the next; None where the dataset does not record it: such features can only be
            looked at from the beginning and as a whole.
    """

    modality: LogMel
    hop_seconds: float | None

    @classmethod
    def of(cls, modality: LogMel, dataset: Dataset) -> "LogMelRenderer":
        """Return the renderer for features as the manifest of a dataset describes them.

        Raises:
            SettingsError: The features have another number of bins, or are described by half.
        """
        spec = _recorded_spec(dataset)
        if spec is None:
            return cls(modality=modality, hop_seconds=None)
        _require_bins(modality, spec.bins)
        return cls(modality=modality, hop_seconds=spec.hop_samples / spec.rate)

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer. Without a recorded hop the length in seconds is not known, and is 0."""
        return Extent(seconds=fact(facts, f"{self.field}.frames") * (self.hop_seconds or 0.0))

    def empty(self, rows: int) -> Float[Tensor, "{rows} frames bins"]:
        """See Renderer."""
        return torch.full((rows, self.modality.frames, self.modality.bins), LOG_FLOOR)

    def render(
        self, data: Payload, facts: Facts, view: View, extent: Extent
    ) -> tuple[Float[Tensor, "frames bins"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        features = decode_logmel(data)
        recorded = fact(facts, f"{self.field}.frames"), fact(facts, f"{self.field}.bins")
        if features.shape != recorded:
            raise DecodeError(f"It has {features.shape} frames and bins, but {recorded} were recorded.")
        _require_bins(self.modality, features.shape[1])
        if not view.start and view.seconds is not None and view.seconds >= extent.seconds > 0:
            view = replace(view, seconds=None)  # all that the clip has
        first, last, _ = span_of(
            view,
            per_second=self._frames_per_second(view),
            begins=0.0,
            length=len(features),
            most=self.modality.frames,
        )
        part = torch.from_numpy(features[first:last]).float()
        times = -(-len(part) // self.modality.patch)
        return fit_length(part, self.modality.frames, fill=LOG_FLOOR), times * self.modality.grid[1]

    def _frames_per_second(self, view: View) -> float:
        if self.hop_seconds is not None:
            return 1 / self.hop_seconds
        if view.start or view.seconds is not None:
            raise SettingsError(
                f"The view shows {view.seconds} s from {view.start:g} s on, but the dataset does not record how far frames "
                f"of '{self.field}' are apart. Look at all of them (WholeSpan, or no time policy), or ingest the sound again."
            )
        return 0.0


def _recorded_spec(dataset: Dataset) -> LogMelSpec | None:
    """Return the parameters that the manifest of a dataset records, if any."""
    written = dataset.manifest.settings.get("logmel")
    if written is None:
        return None
    names = [field.name for field in fields(LogMelSpec)]
    missing = [name for name in names if name not in written]
    if missing:
        raise SettingsError(
            f"The manifest of {dataset.root} describes its log-mel features, but not their {', '.join(missing)}; a dataset "
            "has all of them under 'settings', or leaves them out altogether."
        )
    return LogMelSpec(**{name: written[name] for name in names})


def _require_bins(modality: LogMel, found: int) -> None:
    if found != modality.bins:
        raise SettingsError(
            f"The modality '{modality.name}' takes features of {modality.bins} bins, but the field '{modality.field}' has "
            f"{found}; give the modality as many."
        )
