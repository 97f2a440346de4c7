"""Reads single samples out of one shard: header and payload of every member in one read, both checked every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import xxhash

from shards.errors import CorruptShardError, Damage
from shards.index import ArrowTable
from shards.index_block import Facts, IndexBlock, Layout
from shards.sample import NOTHING, Sample
from shards.schema import BLOCK, LABEL, Fields, fact_columns, kind_spec
from shards.store import StoredFile
from shards.tar import HEADER_BYTES, header_flaw

Row = tuple[IndexBlock, int]
"""A block and a row of it: all that is needed to read a sample."""

Member = tuple[str, str, int, int, int]
"""Key, field, and offset, size and digest of the payload, or of the span of a sequence."""

_ADVICE = "Run `maskloom verify`, then take the shard from a sound copy, or ingest into a new folder."


class ShardReader:
    """Random access to one tar through its index. It keeps nothing but the open files.

    Args:
        open_tar: Opens the tar, when something is read of it; stored targets and facts are read without.
        index: The table beside it.
        name: The tar in messages.
        path: The tar as the dataset names it.
        fields: The fields of the dataset, with their kinds.
    """

    def __init__(
        self, open_tar: Callable[[], StoredFile], index: ArrowTable, *, name: str, path: str, fields: Fields
    ) -> None:
        self.name = name
        self.path = path
        self._open_tar = open_tar
        self._table = index
        self._fields = fields
        self._layouts: dict[tuple[str, ...], Layout] = {}

    @cached_property
    def _tar(self) -> StoredFile:
        return self._open_tar()

    @cached_property
    def num_rows(self) -> int:
        """Samples in the shard."""
        blocks = self._table.num_blocks
        return 0 if blocks == 0 else (blocks - 1) * BLOCK + int(self._table.block(blocks - 1).num_rows)

    def block(self, number: int, fields: tuple[str, ...]) -> IndexBlock:
        """Return what is needed to read the samples of a block with the given fields.

        Raises:
            CorruptShardError: The index is damaged.
        """
        return IndexBlock(self._table.block(number), self._layout(fields), lambda: self._tar)

    def rows(self, block: int, fields: tuple[str, ...]) -> list[Row]:
        """Return the rows of a block, to `read` them with the given fields."""
        loaded = self.block(block, fields)
        return [(loaded, row) for row in range(len(loaded.keys))]

    def read(self, row: Row) -> Sample:
        """Read the members of a row and check their headers and digests.

        Raises:
            CorruptShardError: What is stored differs from what was recorded; names shard, key and field.
        """
        block, number = row
        try:
            return self._read(block, number)
        except CorruptShardError:
            if False in {block.tar.forget(*span) for span in block.spans(number)}:
                raise
        return self._read(block, number)  # another copy may be sound

    def _read(self, block: IndexBlock, number: int) -> Sample:
        key = block.keys[number]
        payloads: dict[str, bytes] = {}
        frames: Mapping[str, tuple[bytes, ...]] = NOTHING
        for field, is_sequence, offsets, sizes, digests in block.members:
            member = key, field, offsets[number], sizes[number], digests[number]
            if member[3] < 0:
                continue
            if is_sequence:
                starts, lengths = (block.column(f"{field}.{part}")[number] for part in ("starts", "sizes"))
                frames = {**frames, field: self._frames(block.tar, member, starts, lengths)}
            else:
                payloads[field] = self._payload(block.tar, member)
        return Sample(key, payloads, Facts(block, number), frames)

    def facts(self, block: int, name: str) -> list[Any]:
        """Return one indexed value of all samples of a block.

        Raises:
            MissingFieldError: The index has no column `name`.
        """
        return self.block(block, ()).column(name)

    def _payload(self, tar: StoredFile, member: Member) -> bytes:
        key, _, offset, size, digest = member
        self._require_inside(tar, member)
        # Read apart from its header, a payload need not be copied.
        header, payload = tar.pread(HEADER_BYTES, offset - HEADER_BYTES), tar.pread(size, offset)
        if header_flaw(header, key, size) is not None or xxhash.xxh3_64_intdigest(payload) != digest:
            self._require_whole(member, header + payload)
            self._require_header(member, header, size)
            raise self._damaged(Damage.PAYLOAD, member, "is not what was stored")
        return payload

    def _frames(
        self, tar: StoredFile, member: Member, starts: list[int] | None, lengths: list[int] | None
    ) -> tuple[bytes, ...]:
        """Cut a span, which is read with the header of its first member, into its payloads."""
        _, _, offset, size, digest = member
        if not starts or not lengths or len(starts) != len(lengths) or min(*starts, *lengths) < 0:
            raise self._damaged(Damage.PAYLOAD, member, f"has frames at {starts} of sizes {lengths} in the index")
        self._require_inside(tar, member)
        data = tar.pread(size + HEADER_BYTES, offset - HEADER_BYTES)
        self._require_whole(member, data)
        for start, length in zip(starts, lengths, strict=True):
            self._require_header(member, data[start : start + HEADER_BYTES], length)
        begins = (start + HEADER_BYTES for start in starts)
        frames = tuple(data[begin : begin + length] for begin, length in zip(begins, lengths, strict=True))
        if _digest_of_all(frames) != digest:
            raise self._damaged(Damage.PAYLOAD, member, "is not what was stored")
        return frames

    def _require_inside(self, tar: StoredFile, member: Member) -> None:
        """Raise CorruptShardError unless the tar reaches as far as a member, before memory is taken for it."""
        _, _, offset, size, _ = member
        if offset < HEADER_BYTES or offset + size > tar.size:
            place = f"bytes {offset}..{offset + size}"
            raise self._damaged(Damage.TRUNCATED, member, f"should stand in {place}, the file has {tar.size}")

    def _require_whole(self, member: Member, data: bytes) -> None:
        wanted = member[3] + HEADER_BYTES
        if len(data) != wanted:
            raise self._damaged(Damage.TRUNCATED, member, f"ends after {len(data)} of {wanted} bytes")

    def _require_header(self, member: Member, header: bytes, size: int) -> None:
        flaw = header_flaw(header, member[0], size)
        if flaw is not None:
            raise self._damaged(Damage.HEADER, member, f"stands behind a damaged tar header: {flaw}")

    def _damaged(self, kind: Damage, member: Member, what: str) -> CorruptShardError:
        key, field, *_ = member
        return CorruptShardError(
            f"{self.name}: field '{field}' of sample '{key}' {what}. The file was damaged or replaced. {_ADVICE}",
            kind=kind,
            shard=self.path,
            key=key,
            field=field,
        )

    def _layout(self, fields: tuple[str, ...]) -> Layout:
        layout = self._layouts.get(fields)
        if layout is None:
            layout = self._layouts[fields] = Layout(
                path=str(self._table.path),
                columns={name: place for place, name in enumerate(self._table.names)},
                fields={field: kind_spec(self._fields[field]).is_sequence for field in fields},
                facts=(*(name for field in fields for name in fact_columns(field, self._fields[field])), LABEL),
            )
        return layout


def _digest_of_all(elements: tuple[bytes, ...]) -> int:
    """Return the digest of the payloads of a sequence, one after the other."""
    state = xxhash.xxh3_64()
    for element in elements:
        state.update(element)
    return state.intdigest()
