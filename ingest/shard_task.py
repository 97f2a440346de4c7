"""One task: the items of one shard become its tar, index, rejects and receipt. All a worker ever runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.images import store_image
from ingest.plan import PlannedItem, metadata_json
from ingest.plan_file import PlanHeader, read_plan_header, read_planned_items
from ingest.raw_bytes import RawBytes
from ingest.rejection import Rejection
from ingest.settings import IngestSettings
from ingest.texts import store_metadata, store_text
from shards.receipt import Receipt
from shards.sample import Sample
from shards.schema import ABSENT, RejectReason
from shards.shard_writer import ShardWriter, raw_sha256


@dataclass(slots=True)
class _Encoded:
    """The fields of a sample while they are being made."""

    fields: dict[str, bytes] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, stored: bytes, *, extension: str, raw: bytes, **facts: Any) -> None:  # noqa: ANN401
        """Add a field with what is known about it."""
        self.fields[name] = stored
        self.extensions[name] = extension
        self.sha256[name] = raw_sha256(raw)
        self.facts |= facts


def write_shard(dataset: Path, shard: int, source_root: Path) -> Receipt:
    """Write shard number `shard` of the plan in `dataset` from the files below `source_root`, and return its receipt.

    It depends on nothing but the plan and the raw files, and gives the same bytes every time.

    Raises:
        StorageError: The output cannot be written.
        SourceError: The machine cannot read the source at all (it is not mounted, too many files are open): nothing is
            rejected for that. A file that is at fault itself never raises, it is a counted reject.
    """
    header = read_plan_header(dataset)
    planned = list(read_planned_items(dataset, shard))
    raw = RawBytes(source_root, planned, header.settings.limits)
    with ShardWriter(dataset, shard=shard, plan_id=header.plan_id, fields=header.fields) as writer:
        for entry in planned:
            _store(writer, entry, raw, header)
        return writer.commit()


def _store(writer: ShardWriter, entry: PlannedItem, raw: RawBytes, header: PlanHeader) -> None:
    item = entry.item
    source = item.identity.encode("utf-8", "replace").decode()
    try:
        encoded = _encode(entry, raw, header.settings)
    except Rejection as rejection:
        writer.reject(item.key, source=source, reason=rejection.reason, detail=rejection.detail)
        return
    writer.add(
        Sample(item.key, encoded.fields, encoded.facts),
        extensions=encoded.extensions,
        sha256=encoded.sha256,
        source=source,
        licence=item.licence,
    )


def _encode(entry: PlannedItem, raw: RawBytes, settings: IngestSettings) -> _Encoded:
    """Read and encode every field of an item.

    Raises:
        Rejection: The item cannot be stored.
    """
    item = entry.item
    if item.problem is not None:
        raise Rejection(*item.problem)
    encoded = _Encoded()
    for part in item.parts:
        data = raw.read(part)
        try:
            _put_part(encoded, part.field, data, settings)
        except Rejection as rejection:
            where = part.uri or f"the {part.field}"
            raise Rejection(rejection.reason, f"{where}: {rejection.detail}") from rejection
        except MemoryError:
            raise  # the machine's shortage, not the file's fault
        except Exception as error:
            # Decoders fail on hostile bytes in ways that nobody lists: the file is refused by name, the shard goes on.
            detail = f"{part.uri or part.field}: {type(error).__name__}: {error}"
            raise Rejection(RejectReason.DECODER_FAILED, detail) from error
    if entry.label != ABSENT:
        label = str(entry.label).encode()
        encoded.put("label", label, extension="cls", raw=(item.label or "").encode(), label=entry.label)
    try:
        metadata = metadata_json(item)
    except UnicodeEncodeError as error:
        raise Rejection(RejectReason.BAD_TEXT_ENCODING, f"a column is not UTF-8: {error.reason}") from error
    if metadata is not None:
        encoded.put("metadata", metadata, extension="json", raw=metadata)
    missing = [name for name in settings.require if name not in encoded.fields]
    if missing:
        raise Rejection(
            RejectReason.MISSING_FIELD, f"no {', '.join(missing)}; it has {', '.join(encoded.fields) or 'nothing'}"
        )
    return encoded


def _put_part(encoded: _Encoded, name: str, data: bytes, settings: IngestSettings) -> None:
    if name == "image":
        stored = store_image(data, settings)
        encoded.put("image", stored.data, extension=stored.extension, raw=data, **stored.facts)
    elif name == "text":
        text = store_text(data)
        encoded.put("text", text, extension="txt", raw=data, **{"text.characters": len(text.decode())})
    else:
        encoded.put("metadata", store_metadata(data), extension="json", raw=data)
