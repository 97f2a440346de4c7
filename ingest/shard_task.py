"""One task: the items of one shard become its tar, index, rejects and receipt. All a worker ever runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.containment.job import Encoded, Job
from ingest.encode import encode_item
from ingest.plan import PlannedItem
from ingest.plan_file import PLAN, PlanHeader, read_plan_header, read_planned_items
from ingest.raw_sources import Sources
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.stored import EncodedItem
from shards.receipt import Receipt
from shards.sample import Provenance, Sample
from shards.shard_writer import Member, ShardWriter
from shards.storage import printable


class ShardJob:
    """Shard number `shard` of the plan in `dataset`, to be made from the files below `source_root`.

    It depends on nothing but the plan and the raw files, and gives the same bytes every time.

    Raises:
        SourceError: The machine cannot read the source at all (it is not mounted, too many files are open): nothing is
            rejected for that. A file that is at fault itself never raises, it is a counted reject.
    """

    def __init__(self, dataset: Path, shard: int, source_root: Path) -> None:
        self._dataset = dataset
        self._shard = shard
        self._header: PlanHeader = read_plan_header(dataset)
        self._planned: list[PlannedItem] = list(read_planned_items(dataset / PLAN, shard))
        self._sources = Sources(source_root, self._planned, self._header.settings)

    def __len__(self) -> int:
        return len(self._planned)

    @property
    def limits(self) -> Limits:
        """What an item may cost."""
        return self._header.settings.limits

    def prepare(self, place: int) -> None:
        """Load what the item in row `place` shares with others, outside of its own limits."""
        self._sources.prepare(place)

    def encode(self, place: int) -> EncodedItem:
        """Read and encode the item in row `place` of the plan.

        Raises:
            Rejection: It cannot be stored.
        """
        header = self._header
        return encode_item(self._planned[place], self._sources, declared=header.fields, settings=header.settings)

    def write(self, outcomes: Iterator[EncodedItem | Rejection]) -> Receipt:
        """Write the shard from the outcomes of all items, in order, commit it, and return the receipt that counts.

        Raises:
            StorageError: The output cannot be written.
        """
        header = self._header
        with ShardWriter(
            self._dataset,
            shard=self._shard,
            plan_id=header.plan_id,
            fields=header.fields,
            split=header.splits[self._shard],
        ) as writer:
            for planned, outcome in zip(self._planned, outcomes, strict=True):
                _write(writer, planned, outcome)
            return writer.commit()


def write_shard(dataset: Path, shard: int, source_root: Path) -> Receipt:
    """Write a shard in this process, where a decoder that crashes takes everything with it; see ShardJob for the errors."""
    job = ShardJob(dataset, shard, source_root)
    return job.write(outcomes(job))


def outcomes(job: Job[Encoded, object]) -> Iterator[Encoded | Rejection]:
    """Yield what becomes of the items of a task, encoded in this process."""
    for place in range(len(job)):
        try:
            yield job.encode(place)
        except Rejection as rejection:
            yield rejection


def _write(writer: ShardWriter, planned: PlannedItem, outcome: EncodedItem | Rejection) -> None:
    item = planned.item
    source = printable(item.identity)
    if isinstance(outcome, Rejection):
        writer.reject(item.key, source=source, reason=outcome.reason, detail=outcome.detail)
        return
    frames = {field.name: field.data for field in outcome.fields if isinstance(field.data, tuple)}
    fields = {field.name: field.data for field in outcome.fields if isinstance(field.data, bytes)}
    facts = {
        f"{field.name}.{fact}" if fact else field.name: value
        for field in outcome.fields
        for fact, value in field.facts.items()
    }
    members = {
        field.name: Member(extension=field.extension, sha256=outcome.sha256[field.name]) for field in outcome.fields
    }
    provenance = Provenance(source=source, licence=item.licence, group=printable(item.group), place=item.place)
    writer.add(Sample(item.key, fields, facts, frames), members, provenance)
