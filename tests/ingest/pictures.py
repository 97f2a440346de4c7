"""Pictures made from numbers, and files of them in every format, for the tests of shards and ingest."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ingest.images import store_image
from ingest.settings import IngestSettings

Pixels = npt.NDArray[np.uint8]


def pixels(seed: int, *, width: int = 48, height: int = 40) -> Pixels:
    """Return a smooth coloured picture (height, width, 3) with an edge in it, another one for each seed."""
    draws = np.random.default_rng(seed).random(12)
    row, column = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(6 * (draws[i] * row + draws[i + 3] * column) + 6 * draws[i + 6]) for i in range(3)]
    picture = 120 + 90 * np.stack(waves, axis=-1)
    picture[(row * draws[9] + column * draws[10]) > 0.5 * draws[11]] *= 0.6
    return picture.round().clip(0, 255).astype(np.uint8)


def encoded(picture: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as a file of the Pillow format `kind`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, *, width: int = 48, height: int = 40, **options: Any) -> bytes:
    """Return picture `seed` as a JPEG file."""
    return encoded(pixels(seed, width=width, height=height), "JPEG", **options)


def png(seed: int, *, width: int = 48, height: int = 40, **options: Any) -> bytes:
    """Return picture `seed` as a PNG file."""
    return encoded(pixels(seed, width=width, height=height), "PNG", **options)


def exif_of(orientation: int) -> Image.Exif:
    """Return an EXIF block with an orientation, a camera and a position."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return exif


def write_files(root: Path, files: Mapping[str, Any]) -> Path:
    """Write files, of bytes or text, below `root`, which is made, and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def captioned_folder(root: Path, count: int) -> Path:
    """Write `count` JPEG and PNG pictures with captions and numbered labels, and return their folder."""
    files: dict[str, bytes | str] = {}
    for number in range(count):
        stem = f"set{number % 3}/picture{number:03d}"
        is_png = number % 5 == 0
        files[f"{stem}.png" if is_png else f"{stem}.jpg"] = png(number) if is_png else jpeg(number)
        files[f"{stem}.txt"] = f"caption of picture {number}"
        files[f"{stem}.cls"] = str(number % 7)
    return write_files(root, files)


@dataclass(frozen=True)
class StoredPicture:
    """What a picture file became: the encoded picture, its extension, size in pixels, and all facts."""

    data: bytes
    extension: str
    width: int
    height: int
    facts: Mapping[str, Any]


def store_picture(data: bytes, settings: IngestSettings) -> StoredPicture:
    """Store a picture file as the field `image`."""
    field = store_image(data, "image", settings)
    assert isinstance(field.data, bytes)
    return StoredPicture(
        field.data, field.extension, int(field.facts["width"]), int(field.facts["height"]), field.facts
    )
