"""One item, from raw bytes to encoded fields: the seam between what a source lists and what the modalities make of it."""

from __future__ import annotations

import hashlib

from ingest.audio import store_audio
from ingest.declared import CAPTION_KINDS
from ingest.images import store_image
from ingest.items import Part, RawItem
from ingest.plan import PlannedItem, metadata_json
from ingest.points import store_points
from ingest.rasters import store_raster
from ingest.raw import Raw
from ingest.raw_sources import Sources
from ingest.rejection import Rejection
from ingest.settings import IngestSettings
from ingest.sources.addresses import printable_uri
from ingest.stored import EncodedItem, StoredField
from ingest.texts import store_metadata, store_text
from ingest.unforeseen import blamed_on_file
from ingest.video.store import store_video
from pipelines.views import is_aligned
from shards.schema import ABSENT, WELL_KNOWN_NAMES, Fields, RejectReason
from shards.storage import printable


def encode_item(entry: PlannedItem, sources: Sources, *, declared: Fields, settings: IngestSettings) -> EncodedItem:
    """Read and encode every field of an item.

    Args:
        entry: The item with the number of its label.
        sources: Gives the raw bytes of a part.
        declared: The fields of the dataset.
        settings: What the user decided.

    Raises:
        Rejection: The item cannot be stored.
        SourceError: The machine cannot read the source at all; nothing is rejected for that.
    """
    if entry.item.problem is not None:
        raise Rejection(*entry.item.problem)
    fields: dict[str, StoredField] = {}
    sha256: dict[str, bytes] = {}
    # A sound file of its own counts more than the sound of a video, so videos come first and are overwritten.
    for part in sorted(entry.item.parts, key=lambda part: part.kind != "video"):
        stored, digest = _encode_part(entry.item, part, sources, settings)
        fields |= {field.name: field for field in stored}
        sha256 |= {field.name: digest for field in stored}
    with blamed_on_file("what is said about it"):
        for field, raw in _said_about(entry):
            fields[field.name] = field
            sha256[field.name] = hashlib.sha256(raw).digest()
    _require_fields(fields, declared, settings)
    _require_aligned(fields)
    return EncodedItem(fields=tuple(fields.values()), sha256=sha256)


def _encode_part(
    item: RawItem, part: Part, sources: Sources, settings: IngestSettings
) -> tuple[list[StoredField], bytes]:
    """Return the fields that a part becomes, and the digest of its raw bytes."""
    with blamed_on_file(_place(part)):
        raw = sources.raw(part)
        if part.kind == "video":
            stored = store_video(raw, part.field, settings, start_s=part.start_s, end_s=part.end_s)
            return stored, sources.sha256(part)
        data = raw.read()
        stored = _store(item, part, Raw.of(data, name=raw.name), data, settings)
        return stored, hashlib.sha256(data).digest()


def _place(part: Part) -> str:
    """Return where a part stands, for people; addresses without the credentials that they may carry."""
    where = printable_uri(part.uri) if part.uri else f"the {part.field}"
    return f"{where}#{printable(part.member)}" if part.member else where


def _store(item: RawItem, part: Part, raw: Raw, data: bytes, settings: IngestSettings) -> list[StoredField]:
    match part.kind:
        case "image":
            return [store_image(data, part.field, settings)]
        case "audio":
            return store_audio(raw, part.field, settings, start_s=part.start_s, end_s=part.end_s)
        case "points":
            return store_points(raw, part.field, settings, key=item.key)
        case "raster" | "ids":
            return store_raster(raw, part.field, part.kind, settings)
        case "text":
            return [store_text(data, part.field, settings.filters)]
        case _:
            return [store_metadata(data, part.field)]


def _said_about(entry: PlannedItem) -> list[tuple[StoredField, bytes]]:
    """Return the label and the other columns of an item as fields, each with its raw bytes."""
    said = []
    if entry.label != ABSENT:
        number = str(entry.label).encode()
        label = StoredField(name="label", kind="label", data=number, extension="cls", facts={"": entry.label})
        said.append((label, (entry.item.label or "").encode()))
    try:
        metadata = metadata_json(entry.item)
    except UnicodeEncodeError as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"a column is not UTF-8: {error.reason}") from error
    if metadata is not None:
        said.append((StoredField(name="metadata", kind="metadata", data=metadata, extension="json"), metadata))
    return said


def _require_fields(fields: dict[str, StoredField], declared: Fields, settings: IngestSettings) -> None:
    """Refuse an item that lacks a required field or, where none is named, any media."""
    missing = [name for name in settings.require if name not in fields]
    media = [name for name, kind in declared.items() if kind not in CAPTION_KINDS]
    if not settings.require and media and not any(name in fields for name in media):
        missing = media
    if missing or not fields:
        detail = f"no {', '.join(missing) or 'field at all'}; it has {', '.join(fields) or 'nothing'}"
        raise Rejection(RejectReason.MISSING_FIELD, detail)


def _require_aligned(fields: dict[str, StoredField]) -> None:
    """Refuse a depth map, segmentation or the like that does not lie on the picture it belongs to."""
    picture = next((field for field in fields.values() if field.kind == "image"), None)
    if picture is None:
        return
    for field in fields.values():
        if field.kind in ("raster", "ids") and field.name in WELL_KNOWN_NAMES:
            _require_on(picture, field)


def _require_on(picture: StoredField, field: StoredField) -> None:
    if picture.facts["orientation"] != 1:
        raise Rejection(
            RejectReason.MISALIGNED,
            f"the {picture.name} was turned upright as its EXIF orientation {picture.facts['orientation']} says, and nothing "
            f"tells whether the {field.name} is; turn both beforehand",
        )
    if not is_aligned(_size(field), _size(picture)):
        (height, width), (rows, columns) = _size(picture), _size(field)
        raise Rejection(
            RejectReason.MISALIGNED,
            f"the {field.name} of {columns}x{rows} has not the shape of the {picture.name} of {width}x{height}",
        )


def _size(field: StoredField) -> tuple[int, int]:
    return field.facts["height"], field.facts["width"]
