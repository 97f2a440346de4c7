"""Pictures that a batch carries as they are stored, for a device that decodes them itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import simplejpeg

from pipelines.modalities import Image
from pipelines.rendering.boxes import mapped, recorded_size, require_fitting, require_recorded
from pipelines.rendering.renderer import Facts
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, View

JPEG_START = b"\xff\xd8\xff"


class DeviceDecodeError(DecodeError):
    """A picture cannot be decoded on the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """A stored JPEG file, and the view of it in its own pixels."""

    key: str
    data: bytes
    view: View


@dataclass(frozen=True, kw_only=True)
class EncodedPictures:
    """The pictures of one modality of a batch, not decoded yet; None where a sample has none."""

    modality: Image
    pictures: tuple[EncodedPicture | None, ...]

    def present(self) -> Sequence[tuple[int, EncodedPicture]]:
        """Return the pictures that are there, with their rows."""
        return [(row, picture) for row, picture in enumerate(self.pictures) if picture is not None]


def encoded_picture(
    data: bytes, modality: Image, *, key: str, facts: Facts, view: View, extent: Extent
) -> EncodedPicture:
    """Return a stored picture with the view to render it by.

    Raises:
        DeviceDecodeError: It is no JPEG, which is all that devices decode.
        SettingsError: The view has another size than the modality.
    """
    require_fitting(modality, view)
    if not data.startswith(JPEG_START):
        raise DeviceDecodeError(
            f"The picture of {len(data)} bytes starts with {data[:4].hex(' ')}; on the device only JPEG is decoded. Decode "
            "on the CPU, or ingest the dataset again with --image-size, which stores JPEG."
        )
    require_recorded(_size_of(data), facts, modality.field)
    own_view = mapped(view, extent, onto=recorded_size(facts, modality.field))
    return EncodedPicture(key=key, data=data, view=own_view)


def _size_of(data: bytes) -> tuple[int, int]:
    """Return height and width by the header of a JPEG file.

    Raises:
        DeviceDecodeError: There is no header that can be understood.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:
        raise DeviceDecodeError(
            f"The JPEG file of {len(data)} bytes has a header that cannot be read: {error}."
        ) from error
    return height, width
