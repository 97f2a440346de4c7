"""Shared by the tests: a small folder of pictures, and the small dataset made of it."""

import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import hypothesis
import pytest
import torch
from rich.console import Console

from ingest.cluster import Cluster
from ingest.run import ingest
from ingest.settings import IngestSettings
from ingest.shard_task import outcomes, write_shard
from ingest.sources.detect import FolderLabels, open_source
from ingest.survey_task import SurveyJob
from shards.manifest import Manifest
from tests.ingest.pictures import captioned_folder

NUM_PICTURES = 150
ONE_WORKER = Cluster(workers=1)

# How long an example takes depends on who else uses the machine, as the other half of the tests does.
USUAL = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
hypothesis.settings.register_profile("without deadlines", parent=USUAL, deadline=None)
hypothesis.settings.load_profile("without deadlines")


class InProcess:
    """Stands in for the Dask executor: runs tasks here, one after the other."""

    def __init__(self, **options: Any) -> None:
        pass

    def run(self, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        for values in arguments:
            yield task(*values)

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def survey_here(dataset: Path, chunk: int, source_root: Path) -> int:
    """Do a task of a survey in this process."""
    job = SurveyJob(dataset, chunk, source_root)
    return job.write(outcomes(job))


def ingest_here(
    source: Path | str,
    dataset: Path,
    *,
    columns: Sequence[str] = (),
    fields: Sequence[str] = (),
    root: Path | None = None,
    **settings: Any,
) -> Manifest:
    """Run the whole chain of an ingest in this process."""
    labels = FolderLabels(settings.pop("labels", "auto"))
    chosen = IngestSettings(**settings)
    opened = open_source(str(source), columns=columns, fields=fields, root=root, labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        _stay_in_process(patch)
        return ingest(opened, dataset, chosen, cluster=ONE_WORKER, console=silent())


def _stay_in_process(patch: pytest.MonkeyPatch) -> None:
    """Run tasks here, and decode here as well: for tests of what becomes of items, not of what contains them."""
    patch.setattr("ingest.run.DaskExecutor", InProcess)
    patch.setattr("ingest.run.write_contained", write_shard)
    patch.setattr("ingest.run.survey_contained", survey_here)


def silent() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The number of threads decides the order of sums: with one, runs here and in child processes agree bit for bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def run_ingest() -> Callable[..., Manifest]:
    """`run_ingest(source, dataset, **settings)`: an ingest without worker processes."""
    return ingest_here


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every ingest and precompute of the test run its tasks in this process."""
    _stay_in_process(monkeypatch)
    monkeypatch.setattr("ingest.targets.run.DaskExecutor", InProcess)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 150 captioned, labelled pictures; do not write into it."""
    return captioned_folder(tmp_path_factory.mktemp("pictures"), NUM_PICTURES)


@pytest.fixture(scope="session")
def sealed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `pictures`: shards of 70, 70 and 10 samples, so blocks and tails; do not write into it."""
    root = tmp_path_factory.mktemp("sealed") / "dataset"
    ingest_here(pictures, root, shard_size=70)
    return root


@pytest.fixture
def dataset_root(sealed: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that the test may damage."""
    return Path(shutil.copytree(sealed, tmp_path / "dataset"))
