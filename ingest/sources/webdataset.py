"""WebDataset tars as raw input: each key is one item, its members are the fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tarfile import TarInfo

from ingest.items import Part, RawItem
from ingest.labels import MAX_LABEL_BYTES, Problem, parse_label
from ingest.sources.folder import EXTENSIONS
from shards.errors import SourceError
from shards.schema import RejectReason
from shards.tar import TarMember, iterate_members, split_member_name

_FIELD_OF = {extension: field for field, extensions in EXTENSIONS.items() for extension in extensions} | {
    "json": "metadata"
}


class WebdatasetSource:
    """Lists the members of uncompressed tars.

    Args:
        root: Folder of the tars.
        tars: The tars, inside that folder.

    Raises:
        SourceError: There are none.
    """

    def __init__(self, root: Path, tars: list[Path]) -> None:
        if not tars:
            raise SourceError(f"There is no *.tar in {root}.")
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._tars = sorted(tars)

    def describe(self) -> str:
        """Say in one sentence how the input was understood."""
        return f"{len(self._tars)} WebDataset tars in {self.root}: members that share a key are one item"

    def scan(self) -> Iterator[RawItem]:
        """List the items, tar by tar, in the order of the archives."""
        for tar in self._tars:
            status = tar.stat()
            for key, members in groupby(iterate_members(tar), key=lambda member: split_member_name(member.name)[0]):
                regular = list(self._regular(members))
                if regular:
                    yield self._item(tar, status.st_mtime_ns, key, regular)

    def _regular(self, members: Iterable[TarMember | TarInfo]) -> Iterator[TarMember]:
        for member in members:
            if isinstance(member, TarMember):
                yield member
            else:
                self.ignored["link, folder or device in a tar"] += 1

    def _item(self, tar: Path, modified_ns: int, key: str, members: list[TarMember]) -> RawItem:
        uri = tar.relative_to(self.root).as_posix()
        parts: dict[str, Part] = {}
        problem = None
        for member in members:
            extension = split_member_name(member.name)[1]
            field = _FIELD_OF.get(extension)
            if field is None:
                self.ignored[f".{extension}"] += 1
            elif field in parts:
                problem = RejectReason.AMBIGUOUS_FIELDS, f"{uri}: '{member.name}' is the second member for '{field}'"
            else:
                parts[field] = Part(
                    field=field, uri=uri, offset=member.offset, size=member.size, modified_ns=modified_ns
                )
        label = parts.pop("label", None)
        name, label_problem = (None, None) if label is None else self._read_label(label)
        return RawItem(
            identity=f"{uri}#{key}",
            parts=tuple(parts.values()),
            label=name,
            problem=problem or label_problem,
        )

    def _read_label(self, part: Part) -> tuple[str | None, Problem | None]:
        with (self.root / part.uri).open("rb") as file:
            file.seek(part.offset)
            return parse_label(file.read(min(part.size, MAX_LABEL_BYTES + 1)), part.uri)
