"""Pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import UInt8
from torch import Tensor

from pipelines.modalities import Image
from pipelines.rendering.boxes import mapped, recorded_size, require_channels, require_fitting, require_recorded
from pipelines.rendering.renderer import Facts, Payload
from pipelines.transforms.image import decode_image, render
from pipelines.views import Extent, View

_KEPT = 8
"""Pictures that are kept where several looks share them: one for each thread that renders."""


class KeptPictures:
    """Decodes pictures and keeps the last few; sent to another process, it begins there with none."""

    def __init__(self) -> None:
        self._decode = lru_cache(maxsize=_KEPT)(decode_image)

    def __call__(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Return the pixels of a stored picture, [height, width, 3]; nobody may write into them."""
        return self._decode(data)

    def __reduce__(self) -> tuple[type["KeptPictures"], tuple[()]]:
        return KeptPictures, ()


@dataclass(frozen=True, kw_only=True)
class ImageRenderer:
    """Renders a stored picture as uint8 [3, size, size]; `decode` makes pixels [height, width, 3] of stored bytes.

    Raises:
        SettingsError: The modality has another number of channels than 3.
    """

    modality: Image
    decode: Callable[[bytes], npt.NDArray[np.uint8]] = decode_image

    def __post_init__(self) -> None:
        require_channels(self.modality, 3)

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer."""
        height, width = recorded_size(facts, self.field)
        return Extent(height=height, width=width)

    def empty(self, rows: int) -> UInt8[Tensor, "{rows} 3 size size"]:
        """See Renderer."""
        # Decoded pictures keep their channels together; in the same layout they are copied in one piece. NumPy's zeros cost
        # nothing: the system clears a page when it is first touched.
        side = self.modality.size
        return torch.from_numpy(np.zeros((rows, side, side, 3), np.uint8)).permute(0, 3, 1, 2)

    def render(
        self, data: Payload, facts: Facts, view: View, extent: Extent
    ) -> tuple[UInt8[Tensor, "3 size size"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        require_fitting(self.modality, view)
        pixels = self.decode(data)
        size = pixels.shape[0], pixels.shape[1]
        require_recorded(size, facts, self.field)
        return render(pixels, mapped(view, extent, onto=size)), self.modality.num_tokens
