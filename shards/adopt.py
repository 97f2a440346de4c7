"""Adopts a folder of WebDataset tars that others wrote: indexes them in place, without changing or copying a byte."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from shards.errors import DatasetError, SourceError
from shards.image_header import read_image_header
from shards.index import absent_member, write_rejects, write_table
from shards.manifest import MANIFEST, Manifest, Origin, seal
from shards.receipt import FileRecord, Receipt, commit_receipt, committed_shards, read_receipt
from shards.schema import FIELD_OF_EXTENSION, MAX_DETAIL_CHARACTERS, MAX_LABEL, RejectReason, index_schema, is_valid_key
from shards.shard_writer import raw_sha256
from shards.storage import bytes_digest, canonical_json, file_digest, publish, storage_errors, temporary_path
from shards.tar import TarMember, iterate_members

_FORBIDDEN_EXTENSIONS = frozenset({"pyd", "pkl", "pickle", "pth", "pt", "ckpt"})
_MAX_MEMBER_BYTES = 1 << 30


@dataclass(slots=True)
class _Group:
    """The members that share a key, in the order of the tar, and what is wrong with them."""

    key: str
    members: dict[str, TarMember] = field(default_factory=dict)
    problem: tuple[RejectReason, str] | None = None


def adopt(root: Path, *, on_shard: Callable[[int], None] = lambda _: None) -> Manifest:
    """Index every `*.tar` in the folder `root` and seal it as a dataset.

    Members are matched by key (the name up to its first dot) and extension; extensions that are no field are counted as
    ignored. Samples that could execute code, leave the archive, or cannot be told apart are rejected, with a reason.

    Raises:
        SourceError: There are no tars, or one is no readable archive.
        DatasetError: The folder is already a dataset.
    """
    if (root / MANIFEST).exists():
        raise DatasetError(
            f"{root} is already a dataset. To index it anew, delete {root / MANIFEST} and {root / 'receipts'}."
        )
    tars = sorted(root.glob("*.tar"))
    if not tars:
        raise SourceError(f"There is no *.tar in {root}. Adopting needs the folder that holds the tars themselves.")
    plan_id = bytes_digest(canonical_json({path.name: path.stat().st_size for path in tars}))
    fields = _declared_fields(tars)
    done = committed_shards(root)
    for shard, path in enumerate(tars):
        if shard not in done:
            _index_shard(root, path, shard=shard, plan_id=plan_id, fields=fields)
        on_shard(shard)
    items = sum(_listed(root, shard) for shard in range(len(tars)))
    origin = Origin(
        plan_id=plan_id,
        source=f"adopted: {len(tars)} tars",
        settings={},
        software={},
        classes=None,
        num_items=items,
        num_shards=len(tars),
        ignored={},
    )
    return seal(root, origin)


def _listed(root: Path, shard: int) -> int:
    receipt = read_receipt(root, shard)
    return receipt.samples + sum(receipt.rejects.values())


def _declared_fields(tars: list[Path]) -> tuple[str, ...]:
    """Return every field that occurs in any of the tars, in the order of the field table."""
    found = {
        FIELD_OF_EXTENSION[extension]
        for path in tars
        for member in iterate_members(path)
        if isinstance(member, TarMember) and (extension := _extension(member.name)) in FIELD_OF_EXTENSION
    }
    if not found:
        raise SourceError(
            f"None of the {len(tars)} tars holds a member that maskloom reads ({', '.join(sorted(FIELD_OF_EXTENSION))})."
        )
    return tuple(name for name in dict.fromkeys(FIELD_OF_EXTENSION.values()) if name in found)


def _extension(name: str) -> str:
    return Path(name).name.partition(".")[2].lower()


def _index_shard(root: Path, path: Path, *, shard: int, plan_id: str, fields: tuple[str, ...]) -> None:
    groups, ignored = _group_members(path)
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, str]] = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for group in groups:
            outcome = _describe(descriptor, group, fields, source=path.name)
            if isinstance(outcome, dict):
                rows.append(outcome)
            else:
                reason, detail = outcome
                reject = {"source": path.name, "reason": reason.value, "detail": detail[:MAX_DETAIL_CHARACTERS]}
                rejects.append({"key": group.key} | reject)
    finally:
        os.close(descriptor)
    stem = f"{shard:06d}"
    digest = file_digest(path, "xxh3_128")
    files = {"tar": FileRecord(path=path.name, bytes=path.stat().st_size, digest=digest)}
    for name, folder, write in (("index", "data", _index_writer(fields)), ("rejects", "rejects", write_rejects)):
        temporary = temporary_path(root, f"{stem}.{name}")
        with storage_errors(temporary):
            file_hash = write(temporary, rows if name == "index" else rejects)
        final = f"{folder}/{stem}-{digest.partition(':')[2][:12]}.arrow"
        files[name] = FileRecord(path=final, bytes=temporary.stat().st_size, digest=file_hash)
        publish(temporary, root / final)
    commit_receipt(root, _receipt(shard, plan_id, fields, rows, rejects, ignored, files))


def _index_writer(fields: tuple[str, ...]) -> Callable[[Path, list[dict[str, Any]]], str]:
    return lambda path, rows: write_table(path, index_schema(fields), rows)


def _receipt(
    shard: int,
    plan_id: str,
    fields: tuple[str, ...],
    rows: list[dict[str, Any]],
    rejects: list[dict[str, str]],
    ignored: Counter[str],
    files: Mapping[str, FileRecord],
) -> Receipt:
    sizes = {name: [row[f"{name}.size"] for row in rows if row[f"{name}.size"] >= 0] for name in fields}
    return Receipt(
        shard=shard,
        plan_id=plan_id,
        samples=len(rows),
        rejects=dict(sorted(Counter(row["reason"] for row in rejects).items())),
        field_samples={name: len(found) for name, found in sizes.items()},
        field_bytes={name: sum(found) for name, found in sizes.items()},
        licences={},
        ignored_members=dict(sorted(ignored.items())),
        files=files,
    )


def _group_members(path: Path) -> tuple[list[_Group], Counter[str]]:
    groups: dict[str, _Group] = {}
    ignored = Counter[str]()
    previous = ""
    for member in iterate_members(path):
        if not isinstance(member, TarMember) and member.isdir():
            continue
        name = member.name.removeprefix("./")
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        is_new = key not in groups
        group = groups.setdefault(key, _Group(key))
        problem = _problem(member, key, extension.lower())
        if problem is None and not is_new and previous != key:
            problem = RejectReason.DUPLICATE_MEMBER, f"members of key '{key}' do not stand side by side"
        previous = key
        group.problem = group.problem or problem
        if problem is not None or not isinstance(member, TarMember):
            continue
        known = FIELD_OF_EXTENSION.get(extension.lower())
        if known is None:
            ignored[extension.lower() or "(none)"] += 1
        elif known in group.members:
            group.problem = RejectReason.DUPLICATE_MEMBER, f"two members for field '{known}': {name} is the second"
        else:
            group.members[known] = member
    return [group for group in groups.values() if group.members or group.problem], ignored


def _problem(member: Any, key: str, extension: str) -> tuple[RejectReason, str] | None:  # noqa: ANN401 - tarfile's header
    """Return why a member makes its whole sample unusable, if it does."""
    if not isinstance(member, TarMember):
        return RejectReason.FORBIDDEN_MEMBER, f"'{member.name}' is a link or a device"
    if extension in _FORBIDDEN_EXTENSIONS:
        return RejectReason.FORBIDDEN_MEMBER, f"'{member.name}' may execute code when it is read"
    if not is_valid_key(key):
        return RejectReason.INVALID_KEY, f"'{key}' is no key: at most 96 letters, digits, '-', '_' and inner '/'"
    if member.size > _MAX_MEMBER_BYTES:
        return RejectReason.TOO_MANY_BYTES, f"'{member.name}' has {member.size} bytes"
    return None


def _describe(
    descriptor: int, group: _Group, fields: tuple[str, ...], *, source: str
) -> dict[str, Any] | tuple[RejectReason, str]:
    """Return the index row of a sample, or the reason why it cannot be one."""
    if group.problem is not None:
        return group.problem
    row: dict[str, Any] = {"key": group.key, "source": source, "licence": None}
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
    return {"image.format": header.format.lower(), "image.width": header.width, "image.height": header.height}


def _label_facts(data: bytes) -> dict[str, Any]:
    label = int(data)
    if not 0 <= label <= MAX_LABEL:
        raise ValueError(f"a label is a number from 0 to {MAX_LABEL}")
    return {"label": label}


def _metadata_facts(data: bytes) -> dict[str, Any]:
    json.loads(data)
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
