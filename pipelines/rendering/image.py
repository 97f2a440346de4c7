"""Pictures."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

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


class KeptPictures:
    """Decodes pictures and keeps the last one of each thread; sent to another process, it begins there with none."""

    def __init__(self) -> None:
        self._last = threading.local()

    def __call__(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Return the pixels of a stored picture, [height, width, 3]; nobody may write into them."""
        if getattr(self._last, "data", None) is not data:
            self._last.pixels, self._last.data = decode_image(data), data
        pixels: npt.NDArray[np.uint8] = self._last.pixels
        return pixels

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
