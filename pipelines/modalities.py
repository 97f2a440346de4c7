"""What is embedded: where it comes from, its size once rendered, and the tokens it is cut into.

Every modality has a `name`, under which batches and plans hold it (that of its stored field unless another is given), and
most have a `look`: modalities with the same look share one view, so they show the same crop at the same time. Two looks
at one field are two modalities with names of their own.
"""

from dataclasses import dataclass
from math import prod
from typing import Annotated

from pipelines.settings import ReadBy
from pipelines.tokenizers.naming import tokenizer_called
from pipelines.tokenizers.tokenizer import TextTokenizer
from shards.errors import SettingsError


class _Tiled:
    """What follows from the grid of tokens."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along every axis."""
        raise NotImplementedError

    @property
    def num_tokens(self) -> int:
        """Tokens in the grid."""
        return prod(self.grid)


@dataclass(frozen=True, kw_only=True)
class Image(_Tiled):
    """A square picture of `size` x `size` pixels, cut into patches of `patch` x `patch` pixels, row by row.

    Rendered as uint8 [3, size, size].

    Raises:
        SettingsError: The patches do not tile the picture.
    """

    size: int
    patch: int
    field: str = "image"
    channels: int = 3
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        _require_tiles(self.name, "pixels", self.size, self.patch)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("image",)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size // self.patch, self.size // self.patch

    @property
    def patch_values(self) -> int:
        """Values in a patch, over all channels."""
        return self.patch**2 * self.channels


@dataclass(frozen=True, kw_only=True)
class Raster(_Tiled):
    """A square of `size` x `size` stored values (depth, segments, bands), cut into patches like the picture it belongs to.

    Measured numbers are rendered as float32 [channels, side, side], ids (numbers that are names) as int64. They are never
    mixed, so what a camera did not see stays 0 or NaN. A raster of whole numbers above 2^24, or of float64, is rounded to
    float32.

    Args:
        size: Side in pixels, that of the picture that shares the view.
        patch: Side of a patch in pixels.
        stride: Pixels along both axes for one value: a raster of `size` / `stride` values a side.
        field: The stored field.
        channels: Values to a pixel.
        is_ids: Whether the numbers are ids.
        classes: How many ids there are, from 0 on, for networks that look them up; 0 where nobody asks.
        name: Its name in batches; that of the field if empty.
        look: Which of the looks at a sample it shows.

    Raises:
        SettingsError: The patches do not tile the raster, or the strides the patches.
    """

    size: int
    patch: int
    field: str
    channels: int = 1
    stride: int = 1
    is_ids: bool = False
    classes: int = 0
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        _require_tiles(self.name, "pixels", self.size, self.patch)
        _require_tiles(self.name, "pixels", self.patch, self.stride)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("ids",) if self.is_ids else ("raster",)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size // self.patch, self.size // self.patch

    @property
    def patch_values(self) -> int:
        """Values in a patch, over all channels."""
        return self.patch_side**2 * self.channels

    @property
    def side(self) -> int:
        """Values along each side."""
        return self.size // self.stride

    @property
    def patch_side(self) -> int:
        """Values along each side of a patch."""
        return self.patch // self.stride


@dataclass(frozen=True, kw_only=True)
class Clip(_Tiled):
    """`frames` square pictures of a video, cut into tubelets of `tubelet` frames by `patch` x `patch` pixels.

    Rendered as uint8 [3, frames, size, size] from stored frames or from a stored mp4. Tokens run by time, row, column.

    Raises:
        SettingsError: The tubelets do not tile the clip.
    """

    size: int
    patch: int
    frames: int = 16
    tubelet: int = 2
    field: str = "video"
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        _require_tiles(self.name, "pixels", self.size, self.patch)
        _require_tiles(self.name, "frames", self.frames, self.tubelet)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("frames", "clip")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Times, rows and columns of tubelets."""
        return self.frames // self.tubelet, self.size // self.patch, self.size // self.patch

    @property
    def patch_values(self) -> int:
        """Values in a tubelet, over all channels."""
        return self.tubelet * self.patch**2 * 3


@dataclass(frozen=True, kw_only=True)
class LogMel(_Tiled):
    """`frames` columns of log-mel features with `bins` values each, cut into square patches of `patch` x `patch`.

    Rendered as float32 [frames, bins], not normalised: networks take out `mean` and divide by `spread`. What is missing at the
    end is filled with the least value that features can have, not with zero, which would be louder than most sounds. Tokens run
    by time, then bin. The number of tokens that hold some sound is the length of the sample.

    Raises:
        SettingsError: The patches do not tile the features.
    """

    frames: int = 1024
    bins: int = 128
    patch: int = 16
    mean: float = -4.2677393
    spread: float = 2 * 4.5689974
    field: str = "logmel"
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        _require_tiles(self.name, "frames", self.frames, self.patch)
        _require_tiles(self.name, "bins", self.bins, self.patch)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("logmel",)

    @property
    def grid(self) -> tuple[int, int]:
        """Times and bands of patches."""
        return self.frames // self.patch, self.bins // self.patch

    @property
    def patch_values(self) -> int:
        """Values in a patch."""
        return self.patch**2


@dataclass(frozen=True, kw_only=True)
class Waveform(_Tiled):
    """`samples` sound samples in [-1, 1), cut into runs of `patch` samples.

    Rendered as float32 [samples], with zeros where the sound has ended. The number of tokens that hold some sound is the
    length of the sample.

    Raises:
        SettingsError: The runs do not tile the waveform.
    """

    samples: int
    patch: int
    field: str = "audio"
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        _require_tiles(self.name, "samples", self.samples, self.patch)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("audio",)

    @property
    def grid(self) -> tuple[int]:
        """Runs of samples."""
        return (self.samples // self.patch,)


@dataclass(frozen=True, kw_only=True)
class Points(_Tiled):
    """`count` points drawn from a cloud, with their first `columns` columns; models put them into `groups` groups.

    Rendered as float32 [count, columns]. A cloud of fewer points gives some of them several times. With `in_unit_sphere`
    the points that were drawn are moved and scaled so that their mean is at 0 and the farthest at distance 1.

    Raises:
        SettingsError: There are fewer points than groups, or fewer than three columns.
    """

    count: int = 1024
    columns: int = 3
    groups: int = 64
    neighbours: int = 32
    in_unit_sphere: bool = False
    field: str = "points"
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        if not 1 <= self.groups <= self.count or not 1 <= self.neighbours <= self.count or self.columns < 3:
            raise SettingsError(
                f"The cloud '{self.name}' of {self.count} points with {self.columns} columns cannot be put into "
                f"{self.groups} groups of {self.neighbours}: there have to be as many points, and three columns."
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("points",)

    @property
    def grid(self) -> tuple[int]:
        """Groups."""
        return (self.groups,)


@dataclass(frozen=True, kw_only=True)
class Text(_Tiled):
    """A caption as `length` token ids: cut at the end if it is longer, filled up with padding if it is shorter.

    Rendered as int64 [length]; the number of ids that are no padding is the length of the sample. Of several captions
    the view draws one.

    Raises:
        SettingsError: There is no room for a token.
    """

    length: int
    tokenizer: Annotated[TextTokenizer, ReadBy(tokenizer_called)]
    field: str = "text"
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        _name_after_field(self)
        if self.length < 1:
            raise SettingsError(f"The text '{self.name}' has room for {self.length} tokens; give at least 1.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of field that can be decoded."""
        return ("text",)

    @property
    def grid(self) -> tuple[int]:
        """Places for tokens."""
        return (self.length,)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Token ids that a teacher stored, as an input: the stored target `stored`, one id for each place of `grid`.

    Given as int64 [places].

    Raises:
        SettingsError: The grid is empty.
    """

    stored: str
    grid: tuple[int, ...]
    vocabulary: int
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.stored)
        if not self.grid or min(self.grid) < 1:
            raise SettingsError(f"The tokens '{self.name}' have the grid {self.grid}; every side has to be at least 1.")

    @property
    def num_tokens(self) -> int:
        """Tokens in the grid."""
        return prod(self.grid)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Vectors that a teacher stored, as an input: the stored target `stored`, `dim` values for each place of `grid`.

    Given as float32 [places, dim], as the teacher said it and as far as it was stored.

    Raises:
        SettingsError: The grid is empty, or there are no values.
    """

    stored: str
    grid: tuple[int, ...]
    dim: int
    name: str = ""
    look: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.stored)
        if not self.grid or min(self.grid) < 1 or self.dim < 1:
            raise SettingsError(
                f"The features '{self.name}' have the grid {self.grid} and {self.dim} values; each has to be at least 1."
            )

    @property
    def num_tokens(self) -> int:
        """Tokens in the grid."""
        return prod(self.grid)


Decoded = Image | Raster | Clip | LogMel | Waveform | Points | Text
"""Modalities that are decoded from a stored field."""

Stored = Tokens | Features
"""Modalities that a teacher has stored."""

Modality = Decoded | Stored
"""Whatever a stream can deliver."""


def _name_after_field(modality: Decoded) -> None:
    """Give a modality without a name that of its field."""
    object.__setattr__(modality, "name", modality.name or modality.field)


def _require_tiles(name: str, unit: str, size: int, patch: int) -> None:
    """Raise SettingsError unless patches tile the side of what is rendered."""
    if patch < 1 or size < patch or size % patch:
        raise SettingsError(
            f"The modality '{name}' of {size} {unit} cannot be cut into patches of {patch} {unit}; "
            "its side has to be a multiple of the side of the patch."
        )
