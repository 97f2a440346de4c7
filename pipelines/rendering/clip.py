"""Clips: stored frames, or frames of a stored mp4."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import UInt8
from torch import Tensor

from pipelines.modalities import Clip
from pipelines.rendering.boxes import fact, mapped, recorded_size, require_fitting, require_recorded
from pipelines.rendering.renderer import Facts, Payload
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.frames import decode_frames, read_clip
from pipelines.transforms.image import render
from pipelines.views import Extent, View
from shards.errors import SettingsError

Pictures = Mapping[int, npt.NDArray[np.uint8]]
"""Decoded frames by their number."""


@dataclass(frozen=True, kw_only=True)
class ClipRenderer:
    """Renders the frames of a view, all with one box, as uint8 [3, frames, size, size]; decodes no others.

    A frame is rendered exactly as the same picture in a field of kind `image` would be. Where the view counts in the times
    of another video, each of its frames stands for the one that this video shows at that time.
    """

    modality: Clip

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer."""
        height, width = recorded_size(facts, self.field)
        return Extent(
            height=height,
            width=width,
            times=tuple(fact(facts, f"{self.field}.times")),
            seconds=fact(facts, f"{self.field}.seconds"),
        )

    def empty(self, rows: int) -> UInt8[Tensor, "{rows} 3 frames size size"]:
        """See Renderer."""
        # In the layout of decoded frames, zeroed by the system when touched: as for pictures.
        side = self.modality.size
        return torch.from_numpy(np.zeros((rows, self.modality.frames, side, side, 3), np.uint8)).permute(0, 4, 1, 2, 3)

    def render(
        self, data: Payload, facts: Facts, view: View, extent: Extent
    ) -> tuple[UInt8[Tensor, "3 frames size size"], int]:
        """See Renderer."""
        require_fitting(self.modality, view)
        self._require_frames(view)
        size = recorded_size(facts, self.field)
        local = mapped(view, extent, onto=size)
        numbers = _numbers(view.frames, extent.times, onto=fact(facts, f"{self.field}.times"))
        pictures = _decoded(data, numbers)
        row = torch.empty((self.modality.frames, view.size, view.size, 3), dtype=torch.uint8)
        for place, number in enumerate(numbers):
            require_recorded((pictures[number].shape[0], pictures[number].shape[1]), facts, self.field)
            row[place] = render(pictures[number], local).permute(1, 2, 0)
        return row.permute(3, 0, 1, 2), self.modality.num_tokens

    def _require_frames(self, view: View) -> None:
        if len(view.frames) != self.modality.frames:
            raise SettingsError(
                f"The modality '{self.modality.name}' takes {self.modality.frames} frames, but the view shows "
                f"{len(view.frames)}. Give the views a time policy of that many, as RandomClip(count="
                f"{self.modality.frames})."
            )


def _decoded(data: Payload, numbers: Sequence[int]) -> Pictures:
    """Decode the frames of these numbers, each once.

    Raises:
        DecodeError: One is damaged, or there is no such frame.
    """
    wanted = sorted(set(numbers))
    if isinstance(data, bytes):
        return dict(zip(wanted, read_clip(data, wanted), strict=True))
    if wanted[-1] >= len(data):
        raise DecodeError(f"Frame {wanted[-1]} was asked for; {len(data)} frames are stored.")
    return dict(zip(wanted, decode_frames([data[number] for number in wanted]), strict=True))


def _numbers(frames: Sequence[int], times: Sequence[float], *, onto: Sequence[float]) -> list[int]:
    """Return which frames of a video with the times `onto` are shown when those of a video with `times` are."""
    if tuple(onto) == tuple(times):
        return list(frames)
    return [max(0, bisect_right(onto, times[frame]) - 1) for frame in frames]
