import signal
from pathlib import Path

import pytest

import maskloom
from shards.dataset import Dataset
from shards.receipt import committed_shards
from shards.verify import verify
from tests.kill import kill_targets
from tests.kill.kill_ingest import campaign, finish, interrupt_when, make_source, start


@pytest.mark.slow
def test_an_ingest_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 600)
    summary = campaign(tmp_path, source=source, kills=3, seed=1)
    assert summary.kills == 3


@pytest.mark.slow
def test_an_ingest_whose_decoders_workers_and_scheduler_are_killed_ends_as_if_they_had_not_been(tmp_path: Path) -> None:
    source, targets = make_source(tmp_path / "source", 600), ["client", "decoder", "worker", "scheduler"]
    summary = campaign(tmp_path, source=source, kills=4, seed=2, targets=targets)
    assert summary.victims == dict.fromkeys(targets, 1)


@pytest.mark.slow
def test_ctrl_c_stops_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source, dataset, log = make_source(tmp_path / "source", 2000), tmp_path / "dataset", tmp_path / "log.txt"
    process = start(source, dataset, log=log)
    code = interrupt_when(lambda: len(committed_shards(dataset)) >= 2, process, number=signal.SIGINT)
    assert code == 130
    assert "Traceback" not in log.read_text()
    assert not (dataset / "dataset.json").exists()
    before = committed_shards(dataset)
    finish(source, dataset, log=log)
    assert before < committed_shards(dataset)
    assert verify(Dataset.open(dataset)) == []


def test_ctrl_c_says_that_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ingest.run.ingest", interrupted)
    monkeypatch.setattr(
        "sys.argv", ["maskloom", "ingest", str(make_source(tmp_path / "source", 2)), str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stopped:
        maskloom.main()
    assert stopped.value.code == 130
    assert "the same command goes on from there" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_targets_killed_at_random_moments_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    summary = kill_targets.campaign(tmp_path, samples=120, kills=2, seed=1)
    assert summary.kills == 2
