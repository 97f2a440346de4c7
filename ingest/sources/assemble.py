"""Files that share a stem become one item, wherever they lie: in a folder, in an archive, behind an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from ingest.items import Part, RawItem
from ingest.labels import MAX_LABEL_BYTES, Problem, parse_label
from ingest.sources.fields import LABEL, METADATA, FieldFile
from ingest.sources.sidecars import MAX_SIDECAR_BYTES, Sidecar, parse_sidecar
from shards.schema import RejectReason
from shards.storage import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file that is a field of an item: its path, and what the path says."""

    path: str
    field: FieldFile


class Container(Protocol):
    """What holds files. Both methods raise FileNotFoundError and OSError as a file system does."""

    def part(self, file: FoundFile) -> Part | Problem:
        """Return where the bytes of a file stand, or why they will never be read."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a small file."""
        ...


def assemble(
    files: Iterable[FoundFile], container: Container, ignored: Counter[str], *, folder_labels: bool
) -> Iterator[RawItem]:
    """Yield the items of a listing, in the order of their stems.

    Args:
        files: All files of the items, in any order.
        container: What holds them.
        ignored: Counts what was passed over.
        folder_labels: Take the name of the folder that holds an item as its label, unless it has a label of its own.
    """
    ordered = sorted(files, key=lambda file: (file.field.stem, file.path))
    for stem, group in groupby(ordered, key=lambda file: file.field.stem):
        yield from items_of(stem, list(group), container, ignored, folder_labels=folder_labels)


def items_of(
    stem: str, files: list[FoundFile], container: Container, ignored: Counter[str], *, folder_labels: bool = False
) -> Iterator[RawItem]:
    """Yield the item that files of one stem make: one, as a rule."""
    label = stem.rpartition("/")[0].rpartition("/")[2] if folder_labels else ""
    names = [file.field.name for file in files]
    if set(names) == {METADATA}:
        ignored[".json without a file beside it"] += len(files)
    elif len(set(names)) == len(names):
        yield _item(stem, files, container, label or None)
    elif len(set(names)) == 1 and files[0].field.kind not in ("text", LABEL):
        # Files that differ only in their extension and share nothing else are items of their own.
        for file in files:
            yield _item(file.path, [file], container, label or None)
    else:
        listed = ", ".join(printable(file.path.rpartition("/")[2]) for file in files)
        problem = f"{listed}: more than one file for the same field; rename so that each stem is one item"
        yield RawItem(identity=stem, parts=(), problem=(RejectReason.AMBIGUOUS_FIELDS, problem))


def _item(identity: str, files: list[FoundFile], container: Container, label: str | None) -> RawItem:
    item = RawItem(identity=identity, parts=(), label=label)
    # A label file says more than a sidecar, which says more than a folder; a caption file more than a sidecar.
    for file in sorted(files, key=lambda file: (file.field.kind != METADATA, file.field.kind == LABEL)):
        try:
            item = _with_file(item, file, container)
        except FileNotFoundError:
            item = replace(
                item, problem=(RejectReason.MISSING_FILE, f"{printable(file.path)} went away while it was listed")
            )
        except OSError as error:
            detail = f"{printable(file.path)}: {error.strerror or error}"
            item = replace(item, problem=(RejectReason.UNREADABLE_FILE, detail))
        if item.problem is not None:
            break
    return item


def _with_file(item: RawItem, file: FoundFile, container: Container) -> RawItem:
    if file.field.kind == LABEL:
        label, problem = parse_label(container.read(file.path, MAX_LABEL_BYTES + 1), file.path)
        return replace(item, label=label, problem=problem)
    if file.field.kind == METADATA:
        said = parse_sidecar(container.read(file.path, MAX_SIDECAR_BYTES + 1), file.path)
        return _with_sidecar(item, said) if isinstance(said, Sidecar) else replace(item, problem=said)
    part = container.part(file)
    if not isinstance(part, Part):
        return replace(item, problem=part)
    others = (other for other in item.parts if other.field != part.field)
    return replace(item, parts=(*others, part))


def _with_sidecar(item: RawItem, said: Sidecar) -> RawItem:
    captions = said.captions.encode("utf-8", "surrogatepass")
    caption = (Part(field="text", kind="text", inline=captions),) if captions else ()
    return replace(item, parts=caption, label=said.label or item.label, licence=said.licence, columns=said.columns)
