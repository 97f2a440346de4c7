"""Waveforms."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.modalities import Waveform
from pipelines.rendering.boxes import fact
from pipelines.rendering.renderer import Facts, Payload
from pipelines.rendering.spans import span_of
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.sound import decode_sound
from pipelines.views import Extent, View


@dataclass(frozen=True, kw_only=True)
class WaveformRenderer:
    """Renders the sound of a view as float32 [samples], with zeros where there is none: before a late sound, after the end.

    Real are the tokens up to the last that holds some sound.
    """

    modality: Waveform

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer."""
        return Extent(seconds=self._start(facts) + fact(facts, f"{self.field}.seconds"))

    def empty(self, rows: int) -> Float[Tensor, "{rows} samples"]:
        """See Renderer."""
        return torch.zeros((rows, self.modality.samples))

    def render(self, data: Payload, facts: Facts, view: View, extent: Extent) -> tuple[Float[Tensor, " samples"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        length, rate = fact(facts, f"{self.field}.samples"), fact(facts, f"{self.field}.rate")
        first, last, place = span_of(
            view, per_second=float(rate), begins=self._start(facts), length=length, most=self.modality.samples
        )
        sound = decode_sound(data, first=first, last=last)
        if (sound.num_samples, sound.rate) != (length, rate):
            raise DecodeError(
                f"It has {sound.num_samples} samples at {sound.rate} Hz, but {length} at {rate} were recorded."
            )
        row = torch.zeros(self.modality.samples)
        row[place : place + last - first] = torch.from_numpy(sound.samples)
        heard = place + last - first
        return row, -(-heard // self.modality.patch)

    def _start(self, facts: Facts) -> float:
        return float(facts.get(f"{self.field}.start") or 0.0)
