"""Which fields a raw part becomes: known before a byte of it is read, so that a dataset can declare what it holds."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.items import Part, RawItem
from ingest.settings import AudioStore, IngestSettings, VideoStore
from shards.errors import SourceError
from shards.schema import Fields, in_order

CAPTION_KINDS = frozenset({"text", "label", "metadata"})
"""Kinds that say something about media and are none."""


def sound_name(video: str) -> str:
    """Return the name of the field that holds the sound of the field `video`."""
    return "audio" if video == "video" else f"{video}_audio"


def logmel_name(audio: str) -> str:
    """Return the name of the field that holds the log-mel features of the field `audio`."""
    return "logmel" if audio == "audio" else f"{audio.removesuffix('_audio')}_logmel"


def declared_fields(part: Part, settings: IngestSettings) -> list[tuple[str, str]]:
    """Return name and kind of every field that a part can become."""
    if part.kind == "audio":
        return _sound_fields(part.field, settings)
    if part.kind == "video":
        kind = "frames" if settings.video.store is VideoStore.FRAMES else "clip"
        return [(part.field, kind), *_sound_fields(sound_name(part.field), settings)]
    return [(part.field, part.kind)]


def _sound_fields(name: str, settings: IngestSettings) -> list[tuple[str, str]]:
    samples, features = (name, "audio"), (logmel_name(name), "logmel")
    return {
        AudioStore.BOTH: [samples, features],
        AudioStore.FLAC: [samples],
        AudioStore.LOGMEL: [features],
        AudioStore.NONE: [],
    }[settings.audio.store]


def declare(items: Iterable[RawItem], settings: IngestSettings) -> Fields:
    """Return all fields that the items of a listing can have, with their kinds, in the order of the kinds.

    Raises:
        SourceError: A field is of one kind in one item and of another kind in another.
    """
    found: dict[str, tuple[str, str]] = {}
    for item in items:
        for part in item.parts:
            for name, kind in declared_fields(part, settings):
                known, first = found.setdefault(name, (kind, item.identity))
                if known != kind:
                    raise SourceError(
                        f"Field '{name}' is of kind {known} in '{first}' and of kind {kind} in '{item.identity}'. Give "
                        "them different names, or ingest them apart."
                    )
        if item.label is not None:
            found.setdefault("label", ("label", item.identity))
        if item.columns:
            found.setdefault("metadata", ("metadata", item.identity))
    return in_order((name, kind) for name, (kind, _) in found.items()) or {"image": "image"}
