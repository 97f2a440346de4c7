"""What a dataset may hold: the kinds of fields, their index columns, and the constants of the on-disk format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import pyarrow as pa

from shards.errors import DatasetError, did_you_mean

SCHEMA_VERSION = 2
BLOCK = 64
"""Samples per block: the unit of shuffling and reading, and one record batch in every Arrow file beside a tar."""
MAX_KEY_CHARACTERS = 96
MAX_LABEL = 2**31 - 1
ABSENT = -1
"""Size of a member that a sample does not have, and label of a sample without one."""

Fields = Mapping[str, str]
"""The fields that a dataset declares, in order: name to kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSpec:
    """What the fields of one kind have in common.

    Args:
        default_name: The name such a field has unless the source gives it another.
        extensions: How its tar members end; a field with another name puts that name before (`left.jpg`).
        facts: What the index keeps of it, beside where it stands: column `<field>.<fact>`.
        is_sequence: One member per element (`frame-00.jpg`, `frame-01.jpg`, ...), side by side in the tar.
    """

    default_name: str
    extensions: tuple[str, ...]
    facts: Mapping[str, pa.DataType]
    is_sequence: bool = False


_TIMES = pa.list_(pa.float64())
_PICTURE = {"width": pa.int32(), "height": pa.int32(), "phash": pa.uint64(), "contrast": pa.float32()}
_CLIP = _PICTURE | {
    "count": pa.int32(),
    "start": pa.float64(),
    "seconds": pa.float64(),
    "fps": pa.float32(),
    "times": _TIMES,
}
_RASTER = {"width": pa.int32(), "height": pa.int32(), "channels": pa.int32(), "dtype": pa.string()}

KINDS: Mapping[str, KindSpec] = MappingProxyType(
    {
        "image": KindSpec(
            default_name="image",
            extensions=("jpg", "jpeg", "png", "webp"),
            facts={"format": pa.string()} | _PICTURE | {"orientation": pa.int32()},
        ),
        "frames": KindSpec(
            default_name="video",
            extensions=("jpg",),
            facts=_CLIP | {"starts": pa.list_(pa.int32()), "sizes": pa.list_(pa.int32())},
            is_sequence=True,
        ),
        "clip": KindSpec(default_name="video", extensions=("mp4",), facts=_CLIP),
        "audio": KindSpec(
            default_name="audio",
            extensions=("flac",),
            facts={
                "rate": pa.int32(),
                "samples": pa.int64(),
                "seconds": pa.float64(),
                "start": pa.float64(),
                "peak_db": pa.float32(),
                "rms_db": pa.float32(),
                "source_rate": pa.int32(),
                "source_channels": pa.int32(),
            },
        ),
        "logmel": KindSpec(
            default_name="logmel",
            extensions=("logmel.npy",),
            facts={"frames": pa.int32(), "bins": pa.int32()},
        ),
        "points": KindSpec(
            default_name="points",
            extensions=("points.npy",),
            facts={
                "count": pa.int64(),
                "columns": pa.string(),
                "dropped": pa.int64(),
                "bounds": pa.list_(pa.float64()),
                "origin": pa.list_(pa.float64()),
                "source_format": pa.string(),
            },
        ),
        "raster": KindSpec(default_name="raster", extensions=("png", "npy"), facts=_RASTER),
        "ids": KindSpec(default_name="segmentation", extensions=("png", "npy"), facts=_RASTER),
        "text": KindSpec(
            default_name="text",
            extensions=("txt",),
            facts={"characters": pa.int32(), "captions": pa.int32(), "longest": pa.int32()},
        ),
        "label": KindSpec(default_name="label", extensions=("cls",), facts={}),
        "metadata": KindSpec(default_name="metadata", extensions=("json",), facts={}),
    }
)

LABEL = "label"
"""The index column that holds the number of the class; it is named like its field."""

PROVENANCE = {
    "key": pa.string(),
    "source": pa.string(),
    "licence": pa.string(),
    "group": pa.string(),
    "place": pa.int64(),
}
"""Columns of every sample: samples with the same `group` (clips of a video, sweeps of a drive) follow each other by `place`."""


class RejectReason(StrEnum):
    """Why an item was not stored. The list is closed: readers may rely on it."""

    AMBIGUOUS_FIELDS = "ambiguous_fields"
    BAD_TEXT_ENCODING = "bad_text_encoding"
    BLANK_PICTURE = "blank_picture"
    CHANGED_FILE = "changed_file"
    CORRUPT_ARRAY = "corrupt_array"
    CORRUPT_AUDIO = "corrupt_audio"
    CORRUPT_IMAGE = "corrupt_image"
    CORRUPT_POINTS = "corrupt_points"
    CORRUPT_VIDEO = "corrupt_video"
    DECODER_CRASH = "decoder_crash"
    DECODER_FAILED = "decoder_failed"
    DUPLICATE = "duplicate"
    DUPLICATE_MEMBER = "duplicate_member"
    EMPTY_FILE = "empty_file"
    EMPTY_TEXT = "empty_text"
    FETCH_FAILED = "fetch_failed"
    FORBIDDEN_ADDRESS = "forbidden_address"
    FORBIDDEN_MEMBER = "forbidden_member"
    INVALID_KEY = "invalid_key"
    INVALID_LABEL = "invalid_label"
    INVALID_TIME = "invalid_time"
    MISALIGNED = "misaligned"
    MISSING_FIELD = "missing_field"
    MISSING_FILE = "missing_file"
    MULTIPLE_FRAMES = "multiple_frames"
    NEAR_DUPLICATE = "near_duplicate"
    NO_POINTS = "no_points"
    NO_SOUND = "no_sound"
    OUTSIDE_ROOT = "outside_root"
    SILENT_AUDIO = "silent_audio"
    TIME_LIMIT = "time_limit"
    TOO_LONG = "too_long"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_POINTS = "too_many_points"
    TOO_MUCH_MEMORY = "too_much_memory"
    TOO_NARROW = "too_narrow"
    TOO_SHORT = "too_short"
    TOO_SMALL = "too_small"
    UNKNOWN_FORMAT = "unknown_format"
    UNREADABLE_FILE = "unreadable_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_PIXELS = "unsupported_pixels"


REJECTS_SCHEMA = pa.schema(
    [("key", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("detail", pa.string())]
)
MAX_DETAIL_CHARACTERS = 400

_KEY = re.compile(r"[A-Za-z0-9_\-]+(?:[A-Za-z0-9_\-/]*[A-Za-z0-9_\-])?")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED_NAMES = frozenset({*PROVENANCE, "frame", *(end for spec in KINDS.values() for end in spec.extensions)})


def is_valid_key(key: str) -> bool:
    """Tell whether `key` may name tar members: at most 96 ASCII letters, digits, `_`, `-`, and `/` inside; no dot."""
    return len(key) <= MAX_KEY_CHARACTERS and _KEY.fullmatch(key) is not None and "//" not in key


def is_valid_field_name(name: str) -> bool:
    """Tell whether a field may be called `name`: a small letter, then at most 31 small letters, digits and `_`."""
    return _FIELD_NAME.fullmatch(name) is not None and name not in _RESERVED_NAMES


def kind_spec(kind: str) -> KindSpec:
    """Return what fields of a kind have in common.

    Raises:
        DatasetError: There is no such kind.
    """
    if kind not in KINDS:
        raise DatasetError(
            f"There is no kind of field '{kind}'; kinds are {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}"
        )
    return KINDS[kind]


def member_extension(name: str, kind: str, ending: str, *, number: int | None = None) -> str:
    """Return the tar extension of a member, without the leading dot.

    Args:
        name: Name of the field.
        kind: Its kind.
        ending: One of the extensions of the kind.
        number: Which element of a sequence, from 0; None for a field of one member.
    """
    ending = ending if number is None else f"frame-{number:02d}.{ending}"
    return ending if name == kind_spec(kind).default_name else f"{name}.{ending}"


def field_of_extension(extension: str) -> tuple[str, str] | None:
    """Return name and kind of the field that a tar member with this extension belongs to, or None for a foreign one.

    `left.jpg` is an image named `left`; `depth.png` is no image, because its name is one of WELL_KNOWN_NAMES.
    """
    name, _, ending = extension.rpartition(".")
    if name in WELL_KNOWN_NAMES and ending in KINDS[WELL_KNOWN_NAMES[name]].extensions:
        return name, WELL_KNOWN_NAMES[name]
    for kind, ending_of_kind in _FOREIGN_ENDINGS:
        found = ending_of_kind.fullmatch(extension)
        if found and (found["name"] is None or is_valid_field_name(found["name"])):
            return found["name"] or KINDS[kind].default_name, kind
    return None


_FOREIGN_KINDS = ("frames", "logmel", "points", "image", "clip", "audio", "text", "label", "metadata", "raster")
"""Kinds that an extension alone gives away, more telling ones first."""


def _ending_pattern(spec: KindSpec, ending: str) -> re.Pattern[str]:
    number = r"frame-\d{2,}\." if spec.is_sequence else ""
    return re.compile(rf"(?:(?P<name>[^.]*)\.)?{number}{re.escape(ending)}")


_FOREIGN_ENDINGS = tuple(
    (kind, _ending_pattern(KINDS[kind], ending)) for kind in _FOREIGN_KINDS for ending in KINDS[kind].extensions
)

WELL_KNOWN_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "depth": "raster",
        "disp": "raster",
        "disparity": "raster",
        "height": "raster",
        "normal": "raster",
        "normals": "raster",
        "flow": "raster",
        "seg": "ids",
        "segmentation": "ids",
        "semantic": "ids",
        "mask": "ids",
        "instance": "ids",
        "panoptic": "ids",
    }
)
"""Fields whose name says more about their kind than their extension does."""


def in_order(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return fields, given as (name, kind), in the order of the kinds and, inside a kind, of their names."""
    order = list(KINDS)
    return dict(
        sorted(fields, key=lambda field: (order.index(field[1]), field[0] != KINDS[field[1]].default_name, field))
    )


def fact_columns(name: str, kind: str) -> dict[str, pa.DataType]:
    """Return the index columns that hold the facts of a field."""
    facts = {f"{name}.{fact}": data_type for fact, data_type in kind_spec(kind).facts.items()}
    return facts | ({name: pa.int32()} if kind == "label" else {})


def member_columns(name: str, kind: str) -> dict[str, pa.DataType]:
    """Return the index columns that locate and check the members of a field, and its facts."""
    located = {
        f"{name}.offset": pa.int64(),
        f"{name}.size": pa.int64(),
        f"{name}.xxh3": pa.uint64(),
        f"{name}.sha256": pa.binary(32),
    }
    return located | fact_columns(name, kind)


def index_schema(fields: Fields) -> pa.Schema:
    """Return the schema of a shard's index for a dataset that declares `fields`."""
    columns = dict(PROVENANCE)
    for name, kind in fields.items():
        columns |= member_columns(name, kind)
    return pa.schema(list(columns.items()))
