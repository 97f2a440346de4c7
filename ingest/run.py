"""The chain of an ingest: scan, survey, plan, shard tasks, seal. Every arrow is durable: a killed run goes on from there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from ingest.cluster import Cluster
from ingest.containment.client import survey_contained, write_contained
from ingest.contents import Contents, settle
from ingest.executor import DaskExecutor, worker_threads
from ingest.items import RawItem
from ingest.listing import checked
from ingest.plan import Plan, make_plan
from ingest.plan_file import PLAN, commit_plan, require_same_plan
from ingest.progress import Reporter, print_hint
from ingest.settings import IngestSettings
from ingest.sources import Source
from ingest.sources.folder import FolderSource
from ingest.survey import commit_listing, needs_survey, read_contents, surveyed_chunks
from shards.errors import PlanMismatchError, SourceError
from shards.manifest import MANIFEST, Manifest, Origin, load_manifest, seal
from shards.receipt import Receipt, committed_shards, read_receipt
from shards.storage import make_folder, printable


def ingest(source: Source, dataset: Path, settings: IngestSettings, *, cluster: Cluster, console: Console) -> Manifest:
    """Turn a source into a sealed dataset in the folder `dataset`, or complete an interrupted attempt.

    Raises:
        SourceError: The source is empty or cannot be listed.
        PlanMismatchError: The folder holds another dataset, or source or settings have changed since it was begun.
        StorageError: The output cannot be written; what is finished is kept.
    """
    _require_outside(dataset, source)
    with Reporter(console, "Scanning", None) as reporter:
        listing = list(checked(_counted(source.scan(), reporter)))
    print_hint(source, listing, console)
    with _Tasks(dataset.resolve(), source.root.resolve(), cluster) as tasks:
        contents = _survey(dataset, listing, settings, tasks, console) if needs_survey(listing, settings) else {}
        plan = make_plan(checked(settle(listing, contents, settings)), settings, classes=source.classes)
        if (dataset / MANIFEST).exists():
            return _finished(dataset, plan)
        make_folder(dataset)
        commit_plan(dataset, plan)
        _write_missing(dataset, plan, tasks, console)
    return seal(dataset, origin_of(source, plan))


class _Tasks:
    """Runs the tasks of an ingest on one cluster, which is started when the first of them has to be done."""

    def __init__(self, dataset: Path, source_root: Path, cluster: Cluster) -> None:
        self._dataset = dataset
        self._source_root = source_root
        self._cluster = cluster
        self._closing = ExitStack()

    @cached_property
    def _executor(self) -> DaskExecutor:
        executor = DaskExecutor(
            workers=self._cluster.workers, scheduler=self._cluster.scheduler, embedded=worker_threads
        )
        return self._closing.enter_context(executor)

    def run(self, task: Callable[[Path, int, Path], Any], numbers: Sequence[int]) -> Iterator[Any]:
        """Do a task for every number and yield the results as they come.

        In random order, several commands that write the same dataset share the work instead of doing it twice.
        """
        shuffled = random.sample(numbers, len(numbers))
        if shuffled:
            yield from self._executor.run(task, ((self._dataset, number, self._source_root) for number in shuffled))

    def __enter__(self) -> _Tasks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)


def _require_outside(dataset: Path, source: Source) -> None:
    if isinstance(source, FolderSource) and dataset.resolve().is_relative_to(source.root.resolve()):
        raise SourceError(
            f"The dataset {dataset} would lie inside its own source {source.root}, and its files would count as raw input. "
            "Choose a folder outside."
        )


def _counted(items: Iterator[RawItem], reporter: Reporter) -> Iterator[RawItem]:
    for item in items:
        reporter.advance(1)
        yield item


def _survey(
    dataset: Path, listing: list[RawItem], settings: IngestSettings, tasks: _Tasks, console: Console
) -> Contents:
    """Find out what the plan has to know about the content of the files, as far as that is not known yet."""
    make_folder(dataset)
    num_chunks = commit_listing(dataset, listing, settings)
    missing = sorted(set(range(num_chunks)) - surveyed_chunks(dataset))
    with Reporter(console, "Surveying", len(listing)) as reporter:
        for items in tasks.run(survey_contained, missing):
            reporter.advance(items)
    return read_contents(dataset, num_chunks)


def _finished(dataset: Path, plan: Plan) -> Manifest:
    manifest = load_manifest(dataset)
    if manifest.plan_id != plan.plan_id:
        if (dataset / PLAN).exists():
            require_same_plan(dataset, plan)
        raise PlanMismatchError(
            f"{dataset} is a finished dataset made from something else: {manifest.source}, with other settings or other "
            "content. A sealed dataset is never changed: ingest into a new folder."
        )
    return manifest


def _write_missing(dataset: Path, plan: Plan, tasks: _Tasks, console: Console) -> None:
    done = committed_shards(dataset)
    missing = [shard for shard in range(plan.num_shards) if shard not in done]
    with Reporter(console, "Ingesting", len(plan.items)) as reporter:
        reporter.resume_at(sum(_size(read_receipt(dataset, shard)) for shard in done))
        for receipt in tasks.run(write_contained, missing):
            reporter.advance(_size(receipt), sum(receipt.rejects.values()))


def _size(receipt: Receipt) -> int:
    return receipt.samples + sum(receipt.rejects.values())


def origin_of(source: Source, plan: Plan) -> Origin:
    """Return what the manifest says about where a dataset comes from."""
    return Origin(
        plan_id=plan.plan_id,
        source=printable(source.understanding.sentence),
        settings=plan.settings.to_json() | {"logmel": plan.settings.audio.spec.to_json()},
        software=plan.software,
        fields=plan.fields,
        classes=plan.classes,
        num_items=len(plan.items),
        num_shards=plan.num_shards,
        ignored={printable(what): count for what, count in sorted(source.ignored.items())},
    )
