"""Kills `maskloom ingest` again and again at random moments and checks that what comes out is what it would have been.

    python tests/kill/kill_ingest.py --kills 50
    python tests/kill/kill_ingest.py --kills 200 --targets client,decoder,worker,scheduler

Every kill is a SIGKILL: of the command with all its processes, of one of its decoder processes, of a Dask worker, or of the
scheduler. With workers or schedulers among the targets the command runs on a scheduler of its own. A dataset that is complete
is compared, byte by byte, with that of an undisturbed run, and the next one is begun.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402

from shards.dataset import Dataset  # noqa: E402
from shards.garbage import find_garbage  # noqa: E402
from shards.receipt import committed_shards  # noqa: E402
from shards.verify import verify  # noqa: E402
from tests.cluster.running import RunningCluster, running_cluster  # noqa: E402
from tests.ingest.pictures import jpeg, write_files  # noqa: E402

SHARD_SIZE = 64
SURVEYED = ("--drop-duplicates", "--split", "val=0.2")
"""Options that make the plan depend on what is in the files, so that the survey is killed as well."""
PATIENCE_S = 240


@dataclass
class Summary:
    """What happened in a campaign."""

    kills: int = 0
    datasets: int = 0
    undisturbed_s: float = 0.0
    victims: Counter[str] = field(default_factory=Counter)
    killed_while: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0


def make_source(root: Path, count: int) -> Path:
    """Write `count` small pictures, every twelfth of them broken, and return their folder."""
    pictures = {f"{number:05d}.jpg": jpeg(number, width=32, height=32) for number in range(count)}
    broken = {f"{number:05d}.jpg": pictures[f"{number:05d}.jpg"][:300] for number in range(0, count, 12)}
    return write_files(root, {**pictures, **broken})


def start(source: Path, dataset: Path, *more: str, log: Path) -> subprocess.Popen[bytes]:
    """Start the command, with more options, in a process group of its own."""
    options = ["--shard-size", str(SHARD_SIZE), "--workers", "1", *SURVEYED]
    return launch("ingest", str(source), str(dataset), *options, *more, log=log)


def launch(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a command of maskloom in a process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "maskloom", *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def finish(source: Path, dataset: Path, *more: str, log: Path) -> float:
    """Run the command to its end and return how many seconds it took."""
    began = time.monotonic()
    process = start(source, dataset, *more, log=log)
    code = process.wait(PATIENCE_S)
    assert code == 0, log.read_text()
    return time.monotonic() - began


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, patience_s: float = PATIENCE_S) -> None:
    """Wait until `ready`, or the process has ended, or patience has."""
    until = time.monotonic() + patience_s
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def interrupt_when(
    ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    *,
    number: signal.Signals,
    patience_s: float = PATIENCE_S,
) -> int | None:
    """Send a signal to the whole group as soon as `ready`; return the exit code, or None if it had ended before."""
    wait_until(ready, process, patience_s=patience_s)
    if process.poll() is not None:
        return None
    os.killpg(process.pid, number)
    return process.wait(PATIENCE_S)


def check_complete(dataset: Path, reference: Path) -> None:
    """Check that a dataset is sound and byte by byte the reference, whatever killed runs left beside it."""
    assert (dataset / "dataset.json").read_bytes() == (reference / "dataset.json").read_bytes()
    assert verify(Dataset.open(dataset)) == []
    garbage = set(find_garbage(dataset, older_than_s=-60))
    kept = {path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file() and path not in garbage}
    wanted = {path.relative_to(reference) for path in reference.rglob("*") if path.is_file()}
    assert kept == wanted
    different = [path for path in kept if (dataset / path).read_bytes() != (reference / path).read_bytes()]
    assert different == []


def campaign(folder: Path, *, source: Path, kills: int, seed: int, targets: Sequence[str] = ("client",)) -> Summary:
    """Kill `kills` times, going on after each, and check every dataset that becomes complete."""
    summary, log = Summary(), folder / "log.txt"
    reference = folder / "reference"
    summary.undisturbed_s = finish(source, reference, log=log)
    with ExitStack() as ending:
        cluster = None
        if {"worker", "scheduler"} & set(targets):
            cluster = ending.enter_context(running_cluster(folder / "cluster", workers=2))
        options = ["--scheduler", cluster.address] if cluster else []
        battle = Battle(cluster=cluster, targets=targets, draws=random.Random(seed), summary=summary)
        while summary.kills < kills:
            dataset = folder / f"dataset-{summary.datasets}"
            while summary.kills < kills and not battle.attack(
                start(source, dataset, *options, log=log), dataset, kills
            ):
                pass
            finish(source, dataset, *options, log=log)
            check_complete(dataset, reference)
            summary.leftovers += len(find_garbage(dataset, older_than_s=-60))
            summary.datasets += 1
    assert "Traceback" not in log.read_text(), log.read_text()
    return summary


@dataclass
class Battle:
    """Strikes at commands and what they stand on."""

    cluster: RunningCluster | None
    targets: Sequence[str]
    draws: random.Random
    summary: Summary
    waiting: list[str] = field(default_factory=list)
    """The targets that have not been struck in this round, in random order: every round strikes each once."""

    def attack(self, command: subprocess.Popen[bytes], dataset: Path, kills: int) -> bool:
        """Strike at random moments until the command has ended or `kills` are reached; tell whether it was completed."""
        struck, began = False, time.monotonic()
        while True:
            moment = time.monotonic() + self.draws.uniform(0, self.summary.undisturbed_s)
            wait_until(lambda moment=moment: time.monotonic() >= moment, command)  # type: ignore[misc]
            if command.poll() is not None or self.summary.kills >= kills:
                code = command.wait(PATIENCE_S)
                assert code == 0 or struck, f"exit code {code} without a reason"
                if not struck:  # workers that have decoders already are faster; moments beyond their end strike nothing
                    self.summary.undisturbed_s = min(self.summary.undisturbed_s, time.monotonic() - began)
                return code == 0
            self.waiting = self.waiting or self.draws.sample(self.targets, len(self.targets))
            if not self._strike(self.waiting[-1], command):
                continue
            struck = True
            self.summary.kills += 1
            self.summary.victims[self.waiting.pop()] += 1
            self.summary.killed_while[_phase(dataset)] += 1

    def _strike(self, target: str, command: subprocess.Popen[bytes]) -> bool:
        """Kill something of a kind, and put a new one in its place if it is the cluster's; tell whether there was one."""
        if target == "client":
            os.killpg(command.pid, signal.SIGKILL)
            command.wait(PATIENCE_S)
        elif target == "decoder":
            return self._strike_decoder(command)
        elif target == "worker" and self.cluster is not None:
            self.cluster.replace_worker(self.draws.randrange(len(self.cluster.workers)))
        elif target == "scheduler" and self.cluster is not None:
            self.cluster.restart()
        return True

    def _strike_decoder(self, command: subprocess.Popen[bytes]) -> bool:
        """Kill a decoder server, one of its guards, or a process that decodes."""
        parents = [command.pid, *(worker.pid for worker in (self.cluster.workers if self.cluster else ()))]
        decoders = [pid for parent in parents for pid in descendants(parent)]
        if not decoders:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.draws.choice(decoders), signal.SIGKILL)
        return True


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have started, and so on."""
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def _phase(dataset: Path) -> str:
    if (dataset / "dataset.json").exists():
        return "sealed"
    if committed_shards(dataset):
        return "some shards committed"
    if (dataset / "plan.arrow").exists():
        return "planned, no shard yet"
    return "surveying" if (dataset / "survey").exists() else "nothing yet"


def main() -> None:
    """Run a campaign and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default="client", help="client, decoder, worker, scheduler; several with commas")
    options = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder) / "source", options.pictures)
        began = time.monotonic()
        summary = campaign(
            Path(folder), source=source, kills=options.kills, seed=options.seed, targets=options.targets.split(",")
        )
        console.print(
            f"{summary.kills} kills over {summary.datasets} datasets in {time.monotonic() - began:.0f} s "
            f"(an undisturbed run takes {summary.undisturbed_s:.1f} s): every dataset complete, verified, byte-identical; "
            f"{summary.leftovers} leftover files, all known to gc."
        )
        for target, count in summary.victims.most_common():
            console.print(f"  killed the {target}: {count}")
        for phase, count in summary.killed_while.most_common():
            console.print(f"  killed with {phase}: {count}")


if __name__ == "__main__":
    main()
