"""Point clouds."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.modalities import Points
from pipelines.permutation import permute
from pipelines.randomness import hash_key
from pipelines.rendering.boxes import fact
from pipelines.rendering.renderer import Facts, Payload
from pipelines.transforms.clouds import to_unit_sphere
from pipelines.transforms.errors import DecodeError
from pipelines.transforms.points import decode_points
from pipelines.views import Extent, View
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class PointsRenderer:
    """Renders a subset of a cloud as float32 [count, columns]; the view's ticket draws the points and their order.

    Points are drawn without replacement. Of a cloud that is smaller every point is taken, and then again in the same
    order until there are enough. Coordinates are as stored, unless the modality wants them in the unit sphere.
    """

    modality: Points

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer. A cloud has no extent that views count in."""
        return Extent()

    def empty(self, rows: int) -> Float[Tensor, "{rows} count columns"]:
        """See Renderer."""
        return torch.zeros((rows, self.modality.count, self.modality.columns))

    def render(
        self, data: Payload, facts: Facts, view: View, extent: Extent
    ) -> tuple[Float[Tensor, "count columns"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        cloud = decode_points(data)
        names = fact(facts, f"{self.field}.columns").split(",")
        recorded = fact(facts, f"{self.field}.count"), len(names)
        if cloud.shape != recorded:
            raise DecodeError(f"It has {cloud.shape} points and columns, but {recorded} were recorded.")
        if self.modality.columns > len(names):
            raise SettingsError(
                f"The modality '{self.modality.name}' takes {self.modality.columns} columns, but the field '{self.field}' "
                f"has {len(names)}: {', '.join(names)}."
            )
        if not len(cloud):
            raise DecodeError("It has no points.")
        places = np.arange(self.modality.count, dtype=np.int64) % len(cloud)
        drawn = permute(places, size=len(cloud), key=hash_key(view.ticket, "points"))
        shown = torch.from_numpy(cloud[drawn, : self.modality.columns])
        return to_unit_sphere(shown[None])[0] if self.modality.in_unit_sphere else shown, self.modality.num_tokens
