"""A folder in an object store as a source (`s3://bucket/prefix`): listed by its store, read like any other folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ingest.items import Part, RawItem
from ingest.labels import Problem
from ingest.raw_bytes.object_stores import object_store
from ingest.sources import Source
from ingest.sources.addresses import OBJECT_STORES, printable_uri, scheme_of
from ingest.sources.assemble import FoundFile, assemble
from ingest.sources.class_folders import looks_like_classes
from ingest.sources.fields import FieldRule
from ingest.sources.folder import kind_of_ignored, naming_of, rules_of
from ingest.sources.report import Understanding
from ingest.sources.rule_use import WatchedNaming
from shards.errors import SourceError

NO_FOLDER = Path("/")
"""The root of sources whose parts all stand behind addresses: no local file is read."""


class RemoteSource(Source):
    """Lists the objects below an address.

    Args:
        url: Address of a folder, of one of the schemes in OBJECT_STORES.
        folder_labels: Take the name of the folder that holds an item as its label, unless it has a label of its own; None
            looks whether it fits.
        rules: Which objects are which field; without any, extensions and well-known names decide.

    Raises:
        SourceError: The store cannot be listed, or there is nothing at the address; while listing, no
            object follows one of the rules.
    """

    def __init__(self, url: str, *, folder_labels: bool | None, rules: Sequence[FieldRule] = ()) -> None:
        self.root = NO_FOLDER
        self.ignored: Counter[str] = Counter()
        self._rules = rules
        self._naming = WatchedNaming(naming_of(rules), rules)
        self._container, objects = _list(url)
        self._names = sorted(objects)
        self._url = url
        crosses = any(rule.crosses_folders for rule in rules)
        fits = folder_labels is None and not crosses and looks_like_classes(self._names, self._naming)
        self._folder_labels = fits if folder_labels is None else folder_labels

    @property
    def understanding(self) -> Understanding:
        """How the input was understood."""
        return Understanding(
            kind="folder in an object store",
            place=printable_uri(self._url),
            items="objects that share a stem",
            labels="the folder's name is the label" if self._folder_labels else "labels from .cls files and sidecars",
            rules=rules_of(self._rules),
        )

    def scan(self) -> Iterator[RawItem]:
        """List the items in the order of their names."""
        self.ignored.clear()
        self._naming.begin()
        found = []
        for name in self._names:
            hidden = any(part.startswith(".") for part in name.split("/"))
            field = None if hidden else self._naming(name)
            if field is None:
                self.ignored["hidden file" if hidden else kind_of_ignored(name)] += 1
            else:
                found.append(FoundFile(path=name, field=field))
        self._naming.require_all_used()
        yield from assemble(found, self._container, self.ignored, folder_labels=self._folder_labels)


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects below an address."""

    store: Any
    scheme: str
    prefix: str
    objects: Mapping[str, Mapping[str, Any]]

    def part(self, file: FoundFile) -> Part | Problem:
        found = self.objects[file.path]
        return Part(
            field=file.field.name,
            kind=file.field.kind,
            uri=f"{self.scheme}://{self.prefix}/{file.path}",
            size=int(found["size"]),
            modified_ns=_modified_ns(found.get("LastModified") or found.get("last_modified")),
        )

    def read(self, path: str, limit: int) -> bytes:
        data: bytes = self.store.cat_file(f"{self.prefix}/{path}", end=limit)
        return data


def _list(url: str) -> tuple[_Objects, Mapping[str, Mapping[str, Any]]]:
    scheme = scheme_of(url) or ""
    if scheme not in OBJECT_STORES or "::" in url:
        raise SourceError(
            f"{printable_uri(url)} cannot be listed: folders are read from {', '.join(OBJECT_STORES)} only. For files on the "
            "web, write a table with their addresses."
        )
    store = object_store(scheme)
    prefix = url.partition("://")[2].strip("/")
    try:
        found = store.find(prefix, detail=True)
    except Exception as error:
        # Every store's library raises exceptions of its own; whichever it is, nothing can be listed.
        raise SourceError(f"{printable_uri(url)} cannot be listed: {type(error).__name__}: {error}.") from error
    objects = {path.removeprefix(f"{prefix}/"): entry for path, entry in found.items() if path.startswith(f"{prefix}/")}
    if not objects:
        raise SourceError(f"There is nothing at {printable_uri(url)}.")
    return _Objects(store, scheme, prefix, objects), objects


def _modified_ns(said: object) -> int:
    return int(said.timestamp() * 1e9) if isinstance(said, datetime) else 0
