"""Rasters: numbers on the grid of a picture."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Shaped
from torch import Tensor

from pipelines.modalities import Raster
from pipelines.rendering.boxes import recorded_size, require_channels, require_fitting, require_recorded
from pipelines.rendering.renderer import Facts, Payload
from pipelines.transforms.raster import decode_raster, render_raster
from pipelines.views import Extent, View


@dataclass(frozen=True, kw_only=True)
class RasterRenderer:
    """Renders a stored raster as float32 [channels, side, side], one of ids as int64; colours of a view do not concern it."""

    modality: Raster

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer."""
        height, width = recorded_size(facts, self.field)
        return Extent(height=height, width=width)

    def empty(self, rows: int) -> Shaped[Tensor, "{rows} channels side side"]:
        """See Renderer."""
        side = self.modality.side
        return torch.zeros((rows, self.modality.channels, side, side), dtype=self._dtype)

    def render(
        self, data: Payload, facts: Facts, view: View, extent: Extent
    ) -> tuple[Shaped[Tensor, "channels side side"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        require_fitting(self.modality, view)
        values = decode_raster(data)
        require_recorded((values.shape[0], values.shape[1]), facts, self.field)
        require_channels(self.modality, values.shape[2])
        coarse = replace(view, size=self.modality.side)
        rendered = render_raster(values, coarse, height=extent.height, width=extent.width)
        return rendered.to(self._dtype), self.modality.num_tokens

    @property
    def _dtype(self) -> torch.dtype:
        return torch.int64 if self.modality.is_ids else torch.float32
