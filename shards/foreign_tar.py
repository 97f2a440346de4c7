"""Reads a WebDataset tar that others wrote: which members make a sample, and what is wrong with those that cannot."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import TarInfo
from typing import Any

import xxhash

from shards.array_header import read_array_header
from shards.image_header import read_image_header
from shards.index import absent_member
from shards.schema import MAX_LABEL, Fields, RejectReason, field_of_extension, is_valid_key, kind_spec
from shards.shard_writer import raw_sha256
from shards.storage import printable
from shards.tar import TarMember, iterate_members, split_member_name

_FORBIDDEN_EXTENSIONS = frozenset({"pyd", "pkl", "pickle", "pth", "pt", "ckpt"})
_STORED_FORMATS = ("JPEG", "PNG", "WEBP")
_MAX_MEMBER_BYTES = 1 << 30
_MAX_PIXELS = 100_000_000
_PNG = b"\x89PNG"
_STREAMINFO_END = 42

Problem = tuple[RejectReason, str]


@dataclass(slots=True)
class Group:
    """The members that share a key, by field, and what makes them unusable."""

    key: str
    members: dict[str, list[TarMember]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    problem: Problem | None = None


def group_members(path: Path) -> tuple[list[Group], Counter[str]]:
    """Return the samples of a tar in order, and how many members are no field, by extension.

    Raises:
        CorruptShardError: The archive is damaged or cut off.
    """
    groups: dict[str, Group] = {}
    ignored = Counter[str]()
    previous = ""
    for member in iterate_members(path):
        if isinstance(member, TarInfo) and member.isdir():
            continue
        key, extension = split_member_name(member.name)
        is_new = key not in groups
        group = groups.setdefault(key, Group(key))
        problem = _problem(member, key, extension)
        if problem is None and not is_new and previous != key:
            problem = RejectReason.DUPLICATE_MEMBER, f"members of key '{key}' do not stand side by side"
        previous = key
        group.problem = group.problem or problem
        if problem is None and isinstance(member, TarMember):
            _put(group, member, extension, ignored)
    return [group for group in groups.values() if group.members or group.problem], ignored


def _put(group: Group, member: TarMember, extension: str, ignored: Counter[str]) -> None:
    known = field_of_extension(extension)
    if known is None:
        ignored[printable(extension) or "(none)"] += 1
        return
    name, kind = known
    earlier = group.members.setdefault(name, [])
    if earlier and not (group.kinds[name] == kind and kind_spec(kind).is_sequence and earlier[-1].name < member.name):
        detail = (
            f"two members for field '{name}', or frames out of order: {member.name} stands behind {earlier[-1].name}"
        )
        group.problem = RejectReason.DUPLICATE_MEMBER, detail
    group.kinds[name] = kind
    earlier.append(member)


def _problem(member: TarMember | TarInfo, key: str, extension: str) -> Problem | None:
    """Return why a member makes its whole sample unusable, if it does."""
    if isinstance(member, TarInfo):
        return RejectReason.FORBIDDEN_MEMBER, f"'{member.name}' is a link or a device"
    if extension in _FORBIDDEN_EXTENSIONS:
        return RejectReason.FORBIDDEN_MEMBER, f"'{member.name}' may execute code when it is read"
    if not is_valid_key(key):
        return RejectReason.INVALID_KEY, f"'{key}' is no key: at most 96 letters, digits, '-', '_' and inner '/'"
    if member.size > _MAX_MEMBER_BYTES:
        return RejectReason.TOO_MANY_BYTES, f"'{member.name}' has {member.size} bytes"
    return None


def describe_group(descriptor: int, group: Group, fields: Fields, *, source: str) -> dict[str, Any] | Problem:
    """Return the index row of a sample, or the reason why it cannot be one.

    Args:
        descriptor: The open tar.
        group: The sample's members.
        fields: Fields that the dataset declares, with their kinds.
        source: Name of the tar, for people.
    """
    if group.problem is not None:
        return group.problem
    row: dict[str, Any] = {"key": group.key, "source": printable(source), "licence": None, "group": "", "place": -1}
    for name, kind in fields.items():
        row |= absent_member(name, kind)
    for name, members in group.members.items():
        kind = group.kinds[name]
        if fields[name] != kind:
            return RejectReason.AMBIGUOUS_FIELDS, f"field '{name}' is {kind} here and {fields[name]} in other samples"
        elements = [os.pread(descriptor, member.size, member.offset) for member in members]
        row |= _located(name, members, elements)
        try:
            facts = _FACTS[kind](elements[0])
        except (ValueError, RecursionError) as error:
            return _REASONS[kind], f"{members[0].name}: {error}"
        row |= {f"{name}.{fact}" if fact else name: value for fact, value in facts.items()}
        if kind_spec(kind).is_sequence:
            row |= _sequence(name, members)
    return row


def _located(name: str, members: list[TarMember], elements: list[bytes]) -> dict[str, Any]:
    state = xxhash.xxh3_64()
    for element in elements:
        state.update(element)
    return {
        f"{name}.offset": members[0].offset,
        f"{name}.size": members[-1].offset + members[-1].size - members[0].offset,
        f"{name}.xxh3": state.intdigest(),
        f"{name}.sha256": raw_sha256(b"".join(elements)),
    }


def _sequence(name: str, members: list[TarMember]) -> dict[str, Any]:
    return {
        f"{name}.starts": [member.offset - members[0].offset for member in members],
        f"{name}.sizes": [member.size for member in members],
        f"{name}.count": len(members),
    }


def _image_facts(data: bytes) -> dict[str, Any]:
    header = read_image_header(data)
    if header.format not in _STORED_FORMATS or header.frames > 1:
        raise ValueError(f"a {header.format} of {header.frames} frames; a stored picture is one JPEG, PNG or WebP")
    if header.width * header.height > _MAX_PIXELS:
        raise ValueError(f"{header.width}x{header.height} is over {_MAX_PIXELS} pixels")
    return {"format": header.format.lower(), "width": header.width, "height": header.height, "orientation": 1}


def _frame_facts(data: bytes) -> dict[str, Any]:
    facts = _image_facts(data)
    return {"width": facts["width"], "height": facts["height"]}


def _raster_facts(data: bytes) -> dict[str, Any]:
    if data.startswith(_PNG):
        header = read_image_header(data)
        channels = {"1": 1, "L": 1, "I;16": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(header.mode)
        if channels is None:
            raise ValueError(f"a PNG of mode {header.mode}; a raster is grey or colour with 8 or 16 bits")
        kind = "uint16" if header.has_sixteen_bits else "uint8"
        return {"width": header.width, "height": header.height, "channels": channels, "dtype": kind}
    shape, kind = read_array_header(data)
    if len(shape) not in (2, 3):
        raise ValueError(f"an array of shape {shape}; a raster has two or three axes")
    return {"height": shape[0], "width": shape[1], "channels": shape[2] if len(shape) == 3 else 1, "dtype": kind}


def _points_facts(data: bytes) -> dict[str, Any]:
    shape, kind = read_array_header(data)
    if kind != "float32" or len(shape) != 2 or shape[1] < 3:
        raise ValueError(f"{kind} of shape {shape}; points are float32 [points, 3 or more columns]")
    names = ["x", "y", "z", *(f"column{number}" for number in range(3, shape[1]))]
    return {"count": shape[0], "columns": ",".join(names)}


def _logmel_facts(data: bytes) -> dict[str, Any]:
    shape, kind = read_array_header(data)
    if not kind.startswith("float") or len(shape) != 2:
        raise ValueError(f"{kind} of shape {shape}; log-mel features are floats [frames, bins]")
    return {"frames": shape[0], "bins": shape[1]}


def _audio_facts(data: bytes) -> dict[str, Any]:
    """Read the STREAMINFO block, which the format puts first (RFC 9639, section 8.2)."""
    if not data.startswith(b"fLaC") or len(data) < _STREAMINFO_END:
        raise ValueError("no FLAC stream")
    packed = int.from_bytes(data[18:26], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if not rate:
        raise ValueError("a FLAC stream of 0 samples per second")
    facts = {"rate": rate, "samples": samples, "seconds": samples / rate, "start": 0.0}
    return facts | {"source_rate": rate, "source_channels": channels}


def _text_facts(data: bytes) -> dict[str, Any]:
    text = data.decode()
    longest = max(len(line.strip()) for line in text.split("\n"))
    return {"characters": len(text), "captions": text.strip().count("\n") + 1, "longest": longest}


def _label_facts(data: bytes) -> dict[str, Any]:
    label = int(data)
    if not 0 <= label <= MAX_LABEL:
        raise ValueError(f"a label is a number from 0 to {MAX_LABEL}")
    return {"": label}


def _metadata_facts(data: bytes) -> dict[str, Any]:
    if not isinstance(json.loads(data.decode()), dict):
        raise ValueError("metadata is a JSON object")
    return {}


_FACTS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    "image": _image_facts,
    "frames": _frame_facts,
    "clip": lambda data: {},
    "audio": _audio_facts,
    "logmel": _logmel_facts,
    "points": _points_facts,
    "raster": _raster_facts,
    "ids": _raster_facts,
    "text": _text_facts,
    "label": _label_facts,
    "metadata": _metadata_facts,
}
"""What the index keeps of a member that is not decoded, by bare names; the empty name is the field's own column."""

_REASONS: Mapping[str, RejectReason] = {
    "image": RejectReason.CORRUPT_IMAGE,
    "frames": RejectReason.CORRUPT_IMAGE,
    "clip": RejectReason.CORRUPT_VIDEO,
    "audio": RejectReason.CORRUPT_AUDIO,
    "logmel": RejectReason.CORRUPT_ARRAY,
    "points": RejectReason.CORRUPT_POINTS,
    "raster": RejectReason.CORRUPT_ARRAY,
    "ids": RejectReason.CORRUPT_ARRAY,
    "text": RejectReason.BAD_TEXT_ENCODING,
    "label": RejectReason.INVALID_LABEL,
    "metadata": RejectReason.BAD_TEXT_ENCODING,
}
