"""What is embedded: a stored field, its decoded size, and the tokens it is cut into."""

from dataclasses import dataclass

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
        if self.patch < 1 or self.size < self.patch or self.size % self.patch:
            raise SettingsError(
                f"The picture '{self.field}' of {self.size} pixels cannot be cut into patches of {self.patch} pixels; "
                "the side of the picture has to be a multiple of the side of the patch."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size // self.patch, self.size // self.patch

    @property
    def num_tokens(self) -> int:
        """Patches in a picture."""
        rows, columns = self.grid
        return rows * columns

    @property
    def patch_values(self) -> int:
        """Values in a patch, over all channels."""
        return self.patch**2 * self.channels
