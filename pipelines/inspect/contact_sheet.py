"""A grid of small pictures from all over a dataset, for a first look and for reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw

from pipelines.inspect.examined import class_name, examined_ids
from pipelines.inspect.rasters import show_band, show_ids, show_logmel
from pipelines.transforms.frames import read_clip
from pipelines.transforms.image import decode_image, render
from pipelines.transforms.raster import decode_raster
from pipelines.transforms.sound import decode_logmel
from pipelines.views import CenterCrop
from shards.dataset import Dataset
from shards.errors import MaskloomError
from shards.sample import Sample
from shards.schema import LABEL, in_order
from shards.storage import storage_errors

_THUMBNAIL, _CAPTION, _MARGIN = 128, 14, 4
_BACKGROUND, _INK = (250, 250, 250), (40, 40, 40)

Pixels = npt.NDArray[np.uint8]


def pictured_field(dataset: Dataset) -> str | None:
    """Return the field whose pictures stand for the samples: an image, else a video, else a map; None without any."""
    kinds = in_order(dataset.manifest.kinds.items())
    return next((name for wanted in _PICTURES for name, kind in kinds.items() if kind == wanted), None)


def contact_sheet(dataset: Dataset, field: str, *, columns: int = 10, rows: int = 6) -> Pillow.Image:
    """Draw a grid of pictures of a field from all over the dataset, each above its class or the start of its caption.

    Of a video the middle frame is shown; of a raster its first band, on a colour scale. What cannot be read is marked so.
    """
    kinds = dataset.manifest.kinds
    captions = next((name for name, kind in kinds.items() if kind == "text"), None)
    fields = [name for name in (field, captions, LABEL if LABEL in kinds else None) if name is not None]
    ids = examined_ids(dataset, columns * rows)
    rows = -(-len(ids) // columns)
    cell_width, cell_height = _THUMBNAIL + _MARGIN, _THUMBNAIL + _CAPTION + _MARGIN
    sheet = Pillow.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, number in enumerate(ids):
        left, top = _MARGIN + place % columns * cell_width, _MARGIN + place // columns * cell_height
        try:
            (sample,) = dataset.read(np.array([number]), fields)
            legend = _legend(dataset, sample, captions)
            if field in sample.fields or field in sample.frames:
                sheet.paste(_thumbnail(_PICTURES[kinds[field]](sample, field), sample.key), (left, top))
        except MaskloomError:
            legend = "DAMAGED"
        draw.text((left, top + _THUMBNAIL), legend, fill=_INK)
    return sheet


def _middle_frame(sample: Sample, field: str) -> Pixels:
    return decode_image(sample.frames[field][len(sample.frames[field]) // 2])


def _middle_of_clip(sample: Sample, field: str) -> Pixels:
    middle = max(0, sample.facts[f"{field}.count"] // 2)
    return np.asarray(read_clip(sample.fields[field], [middle])[0])


def _first_band(sample: Sample, field: str) -> Pixels:
    values = decode_raster(sample.fields[field])[:, :, 0]
    return np.ascontiguousarray(show_band(values, field=field).pixels[:, :, :3])


_PICTURES: Mapping[str, Callable[[Sample, str], Pixels]] = {
    "image": lambda sample, field: decode_image(sample.fields[field]),
    "frames": _middle_frame,
    "clip": _middle_of_clip,
    "raster": _first_band,
    "ids": lambda sample, field: show_ids(decode_raster(sample.fields[field])[:, :, 0])[0],
    "logmel": lambda sample, field: show_logmel(decode_logmel(sample.fields[field])),
}
"""How a field becomes an RGB picture, by its kind; earlier kinds tell people more."""


def _thumbnail(pixels: Pixels, key: str) -> Pillow.Image:
    view = CenterCrop(size=_THUMBNAIL).view(key, 0, height=pixels.shape[0], width=pixels.shape[1], seed=0)
    return Pillow.fromarray(render(pixels, view).permute(1, 2, 0).contiguous().numpy())


def _legend(dataset: Dataset, sample: Sample, captions: str | None) -> str:
    """Return what to write under a picture, in characters that the built-in font has."""
    if sample.facts.get(LABEL, -1) >= 0:
        words = class_name(dataset.manifest.classes, sample.facts[LABEL])
    else:
        words = sample.fields.get(captions or "", b"").decode()
    return words.encode("ascii", "replace").decode()[:21]


def write_contact_sheet(dataset: Dataset, folder: Path) -> Path | None:
    """Draw the contact sheet into `folder/contact_sheet.png` and return its path; None for a dataset without pictures.

    Raises:
        StorageError: The file cannot be written.
    """
    field = pictured_field(dataset)
    if field is None:
        return None
    sheet, path = contact_sheet(dataset, field), folder / "contact_sheet.png"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    return path
