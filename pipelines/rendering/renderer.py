"""What a renderer is."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Shaped
from torch import Tensor

from pipelines.views import Extent, View

Facts = Mapping[str, Any]
"""What the index knows of a sample, as `image.height`."""

Payload = bytes | tuple[bytes, ...]
"""A stored member, or the members of a field that is a sequence."""


@runtime_checkable
class Renderer(Protocol):
    """Turns a stored field into one row of a batch, the way a view looks at it. Holds no state."""

    @property
    def field(self) -> str:
        """The stored field."""
        ...

    def extent(self, facts: Facts) -> Extent:
        """Return how large the field of a sample is, from the index alone.

        Raises:
            MissingFieldError: The index does not know it.
        """
        ...

    def empty(self, rows: int) -> Shaped[Tensor, "{rows} ..."]:
        """Return the rows of samples that lack the field: zeros, silence, padding."""
        ...

    def render(self, data: Payload, facts: Facts, view: View, extent: Extent) -> tuple[Tensor, int]:
        """Return the row of a sample, in shape and dtype a row of `empty`, and how many of its tokens are real.

        The row may share memory with what was decoded, and may be read-only.

        Args:
            data: The stored bytes.
            facts: What the index knows of the sample.
            view: The look at the sample.
            extent: What the view was chosen for: its box counts in the pixels of this extent, its frames in the times. A
                field of another size shows the same part of the same scene.

        Raises:
            DecodeError: The bytes are damaged, or not what the index says.
            SettingsError: The field, or the view, does not fit the modality.
        """
        ...
