"""`maskloom bench stream`: that it measures what it says, not how fast this machine is."""

import re
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maskloom import app, main
from pipelines.batch import Batch
from pipelines.bench import STAGES, measure, open_bench, profile, streamed_modalities
from pipelines.loading import Here, Order, Reads, Workers
from pipelines.modalities import Clip, Image, LogMel, Points, Raster, Text, Waveform
from pipelines.reader import BatchReader
from pipelines.visits import PackBatches
from shards.dataset import Dataset
from shards.errors import MissingFieldError
from tests.pipelines.many_kinds import write_many_kinds

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset of fields of every kind."""
    root = tmp_path_factory.mktemp("kinds")
    write_many_kinds(root)
    return Dataset.open(root)


def test_every_kind_of_field_that_can_be_decoded_is_streamed(kinds: Dataset) -> None:
    found = {type(modality) for modality in streamed_modalities(kinds, (), size=32)}
    assert {Image, Clip, LogMel, Points, Raster, Text, Waveform} <= found


@pytest.mark.parametrize(
    "fields", [("image", "logmel", "points", "bands", "segmentation", "text"), ("video", "audio"), ("mp4",)]
)
def test_fields_of_every_kind_stream(kinds: Dataset, fields: tuple[str, ...]) -> None:
    val = Dataset.open(f"{kinds.root}:val")
    modalities = streamed_modalities(val, fields, size=32)
    found = measure(open_bench(val, modalities, batch=4, loading=Here()), batches=1)
    assert found.samples == 4


def test_a_field_that_is_not_there_is_refused_with_the_nearest(kinds: Dataset) -> None:
    with pytest.raises(MissingFieldError, match="Did you mean 'image'"):
        streamed_modalities(kinds, ("imgae",), size=32)


def test_every_stage_takes_time_and_all_add_up_to_what_was_measured_without_a_profiler(dataset: Dataset) -> None:
    modalities = streamed_modalities(dataset, (), size=32)
    stages = profile(dataset, modalities, batch=16, batches=4, cpu_seconds=2e-3)
    assert list(stages) == [*STAGES, "assemble"]
    assert min(stages.values()) > 0
    assert sum(stages.values()) == pytest.approx(2e-3)


def test_stages_are_told_apart_where_there_are_no_labels(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchReader, "has_labels", False)
    stages = profile(dataset, streamed_modalities(dataset, (), size=32), batch=4, batches=2, cpu_seconds=1.0)
    assert stages["labels"] < stages["decode and render"]


def test_a_stage_that_no_batch_goes_through_is_an_error(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.bench.STAGES", {**STAGES, "pack": (PackBatches.batch,)})
    with pytest.raises(KeyError, match=r"visits\.py"):
        profile(dataset, streamed_modalities(dataset, (), size=32), batch=4, batches=1, cpu_seconds=1.0)


def test_waiting_is_what_the_pause_of_a_step_does_not_hide(dataset: Dataset) -> None:
    modalities = streamed_modalities(dataset, (), size=32)
    found = measure(open_bench(dataset, modalities, batch=8, loading=Here()), batches=3, step_seconds=0.05)
    assert found.samples == 24
    assert found.waited_seconds <= found.seconds - 0.15
    assert found.cpu_seconds > 0


@dataclass(frozen=True, kw_only=True)
class SlowStart:
    """Costs processor time before the first batch, as starting a worker does, in this process."""

    cpu_seconds: float

    def start(self, reader: Reads, orders: Iterable[Order], *, pin_memory: bool) -> Generator[Batch]:
        until = time.process_time() + self.cpu_seconds
        while time.process_time() < until:
            pass
        yield from Here().start(reader, orders, pin_memory=pin_memory)


def test_what_starting_costs_is_not_counted(dataset: Dataset) -> None:
    modalities = streamed_modalities(dataset, (), size=32)
    found = measure(open_bench(dataset, modalities, batch=4, loading=SlowStart(cpu_seconds=1.0)), batches=2)
    assert 0 < found.cpu_seconds < 1
    assert found.seconds < 1


@pytest.mark.parametrize("ahead", [0, 4])
def test_batches_that_are_read_ahead_and_two_more_are_taken_first(dataset: Dataset, ahead: int) -> None:
    stream = open_bench(dataset, streamed_modalities(dataset, (), size=32), batch=4, loading=Here())
    assert measure(stream, batches=3, ahead=ahead).samples == 12
    assert stream.state.position.step == ahead + 2 + 3


def test_the_processor_time_of_workers_is_counted_while_they_live(dataset: Dataset) -> None:
    modalities = streamed_modalities(dataset, (), size=224)
    here, workers = (
        measure(open_bench(dataset, modalities, batch=32, loading=loading), batches=8, ahead=2).cpu_seconds
        for loading in (Here(), Workers(count=1))
    )
    assert workers > here / 2


def test_the_command_prints_every_way_and_every_stage(dataset: Dataset) -> None:
    words = ["bench", "stream", str(dataset.root), "--size", "32", "--batch", "8", "--batches", "2", "--workers", "1"]
    result = RUNNER.invoke(app, words, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    for word in ("this process", "1 workers", "1 threads", *STAGES, "assemble"):
        assert word in result.output
    assert re.search(r"269 samples of .*: image \(Image\)", result.output)


def test_the_command_says_what_is_wrong_with_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["bench", "stream", str(tmp_path / "nothing")])
    assert "maskloom ingest" in str(result.exception)


def test_ctrl_c_promises_nothing_that_a_benchmark_does_not_keep(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.bench.measure", interrupted)
    monkeypatch.setattr("sys.argv", ["maskloom", "bench", "stream", str(dataset.root)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err.split() == ["Stopped."]
