"""WebDataset tars as raw input: each key is one item, its members are the fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tarfile import TarInfo

from ingest.items import Part, RawItem
from ingest.labels import Problem
from ingest.sources import Source
from ingest.sources.assemble import FoundFile, items_of
from ingest.sources.fields import FieldRule, by_first_dot, by_rules
from ingest.sources.folder import rules_of
from ingest.sources.report import Understanding
from ingest.sources.rule_use import WatchedNaming
from shards.errors import CorruptShardError, SourceError
from shards.schema import RejectReason
from shards.tar import TarMember, iterate_members, split_member_name


class WebdatasetSource(Source):
    """Lists the members of uncompressed tars.

    Args:
        root: Folder of the tars.
        tars: The tars, inside that folder.
        rules: Which members are which field; without any, what follows the first dot of a name decides.

    Raises:
        SourceError: There are none; or, while listing, no member follows one of the rules.
    """

    def __init__(self, root: Path, tars: Sequence[Path], *, rules: Sequence[FieldRule] = ()) -> None:
        if not tars:
            raise SourceError(f"There is no *.tar in {root}.")
        self.root = root
        self.ignored: Counter[str] = Counter()
        self._tars = sorted(tars)
        self._rules = rules
        self._naming = WatchedNaming(by_rules(rules) if rules else by_first_dot, rules)

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        one = len(self._tars) == 1
        return Understanding(
            kind="WebDataset tar" if one else "WebDataset tars",
            place=str(self._tars[0]) if one else f"{len(self._tars)} in {self.root}",
            items="members that share a key and stand side by side",
            labels="labels from .cls members and sidecars",
            rules=rules_of(self._rules),
        )

    def scan(self) -> Iterator[RawItem]:
        """List the items, tar by tar, in the order of the archives; what a damaged tar has lost is one item."""
        self.ignored.clear()
        self._naming.begin()
        for tar in self._tars:
            damage: list[str] = []
            yield from self._tar(tar, _until_damage(tar, damage))
            if damage:
                identity = f"{tar.relative_to(self.root).as_posix()}#(damaged)"
                yield RawItem(identity=identity, parts=(), problem=(RejectReason.UNREADABLE_FILE, damage[0]))
        self._naming.require_all_used()

    def _tar(self, tar: Path, members: Iterator[TarMember | TarInfo]) -> Iterator[RawItem]:
        uri = tar.relative_to(self.root).as_posix()
        modified_ns = tar.stat().st_mtime_ns
        for key, group in groupby(self._fields(members), key=lambda found: found[0].field.stem):
            pairs = list(group)
            container = _Members(tar, uri, modified_ns, {file.path: member for file, member in pairs})
            yield from self._items(f"{uri}#{key}", [file for file, _ in pairs], container)

    def _items(self, identity: str, files: list[FoundFile], container: _Members) -> Iterator[RawItem]:
        names = Counter(file.field.name for file in files)
        name, count = names.most_common(1)[0]
        if count > 1:
            second = [file.path for file in files if file.field.name == name][1]
            problem = f"{container.uri}: '{second}' is the second member for '{name}'"
            yield RawItem(identity=identity, parts=(), problem=(RejectReason.AMBIGUOUS_FIELDS, problem))
        else:
            yield from items_of(identity, files, container, self.ignored)

    def _fields(self, members: Iterator[TarMember | TarInfo]) -> Iterator[tuple[FoundFile, TarMember]]:
        for member in members:
            if not isinstance(member, TarMember):
                self.ignored["link, folder or device in a tar"] += 1
                continue
            field = self._naming(member.name)
            if field is None:
                self.ignored[f".{split_member_name(member.name)[1]}"] += 1
            else:
                yield FoundFile(path=member.name, field=field), member


def _until_damage(tar: Path, damage: list[str]) -> Iterator[TarMember | TarInfo]:
    """Yield the members of a tar; where it is damaged, they end, and `damage` says why."""
    try:
        yield from iterate_members(tar)
    except CorruptShardError as error:
        damage.append(str(error))


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of one key."""

    tar: Path
    uri: str
    modified_ns: int
    members: Mapping[str, TarMember]

    def part(self, file: FoundFile) -> Part | Problem:
        member = self.members[file.path]
        return Part(
            field=file.field.name,
            kind=file.field.kind,
            uri=self.uri,
            member=file.path,
            offset=member.offset,
            size=member.size,
            modified_ns=self.modified_ns,
        )

    def read(self, path: str, limit: int) -> bytes:
        member = self.members[path]
        with self.tar.open("rb") as file:
            file.seek(member.offset)
            return file.read(min(member.size, limit))
