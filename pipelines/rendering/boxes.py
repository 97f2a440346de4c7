"""Boxes of views on pictures of other sizes, and what pictures have to agree with."""

from dataclasses import replace
from typing import Any

from pipelines.modalities import Clip, Image, Raster
from pipelines.rendering.renderer import Facts
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, View
from shards.errors import MissingFieldError, SettingsError


def fact(facts: Facts, name: str) -> Any:  # noqa: ANN401 - a fact of any type
    """Return a fact of a field that the sample has.

    Raises:
        MissingFieldError: The index has no such column, or does not know it.
    """
    value = facts.get(name)
    if value is None or value == -1:
        raise MissingFieldError(
            f"The index does not know '{name}', which a stream needs. Ingest the raw data with `maskloom ingest`, which "
            "records it."
        )
    return value


def recorded_size(facts: Facts, field: str) -> tuple[int, int]:
    """Return height and width of a field as the index knows them."""
    return fact(facts, f"{field}.height"), fact(facts, f"{field}.width")


def require_recorded(found: tuple[int, int], facts: Facts, field: str) -> None:
    """Raise DecodeError unless decoded pixels have the recorded size."""
    recorded = recorded_size(facts, field)
    if found != recorded:
        raise DecodeError(f"It has {found} pixels, but {recorded} were recorded.")


def require_fitting(modality: Image | Raster | Clip, view: View) -> None:
    """Raise SettingsError unless a view is as large as the modality."""
    if view.size != modality.size or not view.height:
        raise SettingsError(
            f"The modality '{modality.name}' takes pictures of {modality.size} pixels, but the view has {view.size}. Give "
            "the views a policy of that size."
        )


def require_channels(modality: Image | Raster, found: int) -> None:
    """Raise SettingsError unless pixels have as many channels as the modality."""
    if found != modality.channels:
        raise SettingsError(
            f"The modality '{modality.name}' takes {modality.channels} channels, but its field '{modality.field}' has "
            f"{found}; give the modality as many."
        )


def mapped(view: View, extent: Extent, *, onto: tuple[int, int]) -> View:
    """Return a view that counts in the pixels of `extent` as that of a picture of another size, to the nearest pixel."""
    if onto == (extent.height, extent.width):
        return view
    top, height = _span(view.top, view.height, whole=extent.height, onto=onto[0])
    left, width = _span(view.left, view.width, whole=extent.width, onto=onto[1])
    return replace(view, top=top, left=left, height=height, width=width)


def _span(start: int, length: int, *, whole: int, onto: int) -> tuple[int, int]:
    """Return start and length of a span in a line of `onto` instead of `whole` pixels; at least one is left."""
    first = min(round(start * onto / whole), onto - 1)
    last = round((start + length) * onto / whole)
    return first, max(last - first, 1)
