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

from shards.image_header import read_image_header
from shards.index import absent_member
from shards.schema import FIELD_OF_EXTENSION, MAX_LABEL, RejectReason, is_valid_key
from shards.shard_writer import raw_sha256
from shards.storage import printable
from shards.tar import TarMember, iterate_members, split_member_name

_FORBIDDEN_EXTENSIONS = frozenset({"pyd", "pkl", "pickle", "pth", "pt", "ckpt"})
_STORED_FORMATS = ("JPEG", "PNG", "WEBP")
_MAX_MEMBER_BYTES = 1 << 30
_MAX_PIXELS = 100_000_000

Problem = tuple[RejectReason, str]


@dataclass(slots=True)
class Group:
    """The members that share a key, by field, and what makes them unusable."""

    key: str
    members: dict[str, TarMember] = field(default_factory=dict)
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
    known = FIELD_OF_EXTENSION.get(extension)
    if known is None:
        ignored[printable(extension) or "(none)"] += 1
    elif known in group.members:
        detail = f"two members for field '{known}': {member.name} is the second"
        group.problem = RejectReason.DUPLICATE_MEMBER, detail
    else:
        group.members[known] = member


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


def describe_group(descriptor: int, group: Group, fields: tuple[str, ...], *, source: str) -> dict[str, Any] | Problem:
    """Return the index row of a sample, or the reason why it cannot be one.

    Args:
        descriptor: The open tar.
        group: The sample's members.
        fields: Fields that the dataset declares.
        source: Name of the tar, for people.
    """
    if group.problem is not None:
        return group.problem
    row: dict[str, Any] = {"key": group.key, "source": printable(source), "licence": None}
    for name in fields:
        row |= absent_member(name)
    for name, member in group.members.items():
        data = os.pread(descriptor, member.size, member.offset)
        row |= {
            f"{name}.offset": member.offset,
            f"{name}.size": member.size,
            f"{name}.xxh3": xxhash.xxh3_64_intdigest(data),
            f"{name}.sha256": raw_sha256(data),
        }
        try:
            row |= _FACTS[name](data)
        except (ValueError, RecursionError) as error:
            return _REASONS[name], f"{member.name}: {error}"
    return row


def _image_facts(data: bytes) -> dict[str, Any]:
    header = read_image_header(data)
    if header.format not in _STORED_FORMATS or header.frames > 1:
        raise ValueError(f"a {header.format} of {header.frames} frames; a stored picture is one JPEG, PNG or WebP")
    if header.width * header.height > _MAX_PIXELS:
        raise ValueError(f"{header.width}x{header.height} is over {_MAX_PIXELS} pixels")
    return {"image.format": header.format.lower(), "image.width": header.width, "image.height": header.height}


def _label_facts(data: bytes) -> dict[str, Any]:
    label = int(data)
    if not 0 <= label <= MAX_LABEL:
        raise ValueError(f"a label is a number from 0 to {MAX_LABEL}")
    return {"label": label}


def _metadata_facts(data: bytes) -> dict[str, Any]:
    if not isinstance(json.loads(data.decode()), dict):
        raise ValueError("metadata is a JSON object")
    return {}


_FACTS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    "image": _image_facts,
    "text": lambda data: {"text.characters": len(data.decode())},
    "label": _label_facts,
    "metadata": _metadata_facts,
}
_REASONS: Mapping[str, RejectReason] = {
    "image": RejectReason.CORRUPT_IMAGE,
    "text": RejectReason.BAD_TEXT_ENCODING,
    "label": RejectReason.INVALID_LABEL,
    "metadata": RejectReason.BAD_TEXT_ENCODING,
}
