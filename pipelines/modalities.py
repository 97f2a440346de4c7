"""What is embedded: a stored field, its decoded size, and the tokens it is cut into."""

from dataclasses import dataclass
from math import prod

from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Image:
    """A square picture of `size` x `size` pixels, cut into patches of `patch` x `patch` pixels, row by row.

    Raises:
        SettingsError: The patches do not tile the picture.
    """

    size: int
    patch: int
    field: str = "image"
    channels: int = 3

    def __post_init__(self) -> None:
        _require_tiles(self.field, size=self.size, patch=self.patch)

    @property
    def kind(self) -> str:
        """The kind of field that is decoded."""
        return "image"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size // self.patch, self.size // self.patch

    @property
    def num_tokens(self) -> int:
        """Patches in a picture."""
        return prod(self.grid)

    @property
    def patch_values(self) -> int:
        """Values in a patch, over all channels."""
        return self.patch**2 * self.channels


@dataclass(frozen=True, kw_only=True)
class Raster:
    """A square of `size` x `size` stored values (depth, segments, bands), cut into patches like the picture it belongs to.

    Measured numbers come as float32, ids (numbers that are names) as int64. They are never mixed, so what a camera did not
    see stays 0 or NaN. A raster of whole numbers above 2^24, or of float64, is rounded to float32.

    Args:
        size: Side in pixels, that of the picture that shares the view.
        patch: Side of a patch in pixels.
        field: The stored field.
        channels: Values to a pixel.
        is_ids: Whether the numbers are ids.

    Raises:
        SettingsError: The patches do not tile the raster.
    """

    size: int
    patch: int
    field: str
    channels: int = 1
    is_ids: bool = False

    def __post_init__(self) -> None:
        _require_tiles(self.field, size=self.size, patch=self.patch)

    @property
    def kind(self) -> str:
        """The kind of field that is decoded."""
        return "ids" if self.is_ids else "raster"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size // self.patch, self.size // self.patch

    @property
    def num_tokens(self) -> int:
        """Patches in a raster."""
        return prod(self.grid)

    @property
    def patch_values(self) -> int:
        """Values in a patch, over all channels."""
        return self.patch**2 * self.channels


Modality = Image | Raster
"""Whatever a stream can decode."""


def _require_tiles(field: str, *, size: int, patch: int) -> None:
    """Raise SettingsError unless patches tile the square that a field is rendered to."""
    if patch < 1 or size < patch or size % patch:
        raise SettingsError(
            f"The picture '{field}' of {size} pixels cannot be cut into patches of {patch} pixels; "
            "the side of the picture has to be a multiple of the side of the patch."
        )
