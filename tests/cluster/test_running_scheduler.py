from pathlib import Path

import pytest

from shards.receipt import committed_shards
from tests.cluster.running import kill, running_cluster
from tests.kill.kill_ingest import PATIENCE_S, check_complete, finish, make_source, start, wait_until

pytestmark = pytest.mark.slow
NUM_PICTURES = 2000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("raw") / "source", NUM_PICTURES)


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    finish(source, folder / "dataset", log=folder / "log.txt")
    return folder / "dataset"


def test_a_worker_that_is_killed_costs_nothing(source: Path, reference: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    with running_cluster(tmp_path / "cluster", workers=2) as cluster:
        command = start(source, out, "--scheduler", cluster.address, log=log)
        wait_until(lambda: len(committed_shards(out)) >= 2, command)
        kill(cluster.workers[0])
        assert command.wait(PATIENCE_S) == 0, log.read_text()
    check_complete(out, reference)


def test_a_scheduler_that_is_started_anew_ends_the_command_and_the_same_command_goes_on(
    source: Path, reference: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    with running_cluster(tmp_path / "cluster", workers=1) as cluster:
        command = start(source, out, "--scheduler", cluster.address, log=log)
        wait_until(lambda: len(committed_shards(out)) >= 2, command)
        cluster.restart()
        assert command.wait(PATIENCE_S) == 1, log.read_text()
        said = " ".join(log.read_text().split())
        assert "The scheduler went away" in said
        assert "run the same command again" in said
        assert "Traceback" not in said
        before = committed_shards(out)
        finish(source, out, "--scheduler", cluster.address, log=log)
        assert before < committed_shards(out)
    check_complete(out, reference)


def test_two_clusters_that_write_the_same_dataset_lose_and_double_nothing(
    source: Path, reference: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log.txt"
    with (
        running_cluster(tmp_path / "one", workers=1) as one,
        running_cluster(tmp_path / "other", workers=1) as other,
    ):
        commands = [start(source, out, "--scheduler", cluster.address, log=log) for cluster in (one, other)]
        codes = [command.wait(PATIENCE_S) for command in commands]
    assert codes == [0, 0], log.read_text()
    check_complete(out, reference)
