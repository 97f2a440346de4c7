"""The shared method: CPU-seconds of alternated arms, medians over rounds, ratios taken round by round.

CPU-seconds are user plus system time of this process and of all children that have ended. They hardly depend on what
else the machine does, where wall time does; and a ratio is only ever taken between two arms of the same round.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

_WIDTH = 110  # of tables that are not printed on a terminal

Costs = dict[str, list[float]]
"""Seconds by arm, one per round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One contestant: `cost(round)` prepares what it needs, unmeasured, and returns seconds (per item, or in all)."""

    name: str
    cost: Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over all rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise the values of all rounds."""
        return cls(median=statistics.median(values), lowest=min(values), highest=max(values))

    def show(self, digits: str) -> str:
        """Write the figure as `median [lowest-highest]`, each formatted with `digits`."""
        return f"{self.median:{digits}} [{self.lowest:{digits}}-{self.highest:{digits}}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioTarget:
    """`arm` does at least `at_least` times as much per CPU-second as `peer`."""

    claim: str
    arm: str
    peer: str
    at_least: float

    def measured(self, costs: Costs) -> Spread | None:
        """Return the ratio of speeds, round by round, or None if one of the two was not measured."""
        if not costs.get(self.arm) or not costs.get(self.peer):
            return None
        return Spread.of([theirs / ours for ours, theirs in zip(costs[self.arm], costs[self.peer], strict=True)])

    def row(self, spread: Spread) -> tuple[str, str, str, bool]:
        """Return claim, target, measurement, and whether the median meets the target."""
        return self.claim, f">= {self.at_least:g}x", f"{spread.show('.2f')}x", spread.median >= self.at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTarget:
    """`arm` takes at most `at_most` seconds."""

    claim: str
    arm: str
    at_most: float

    def measured(self, costs: Costs) -> Spread | None:
        """Return the seconds over all rounds, or None if they were not measured."""
        return Spread.of(costs[self.arm]) if costs.get(self.arm) else None

    def row(self, spread: Spread) -> tuple[str, str, str, bool]:
        """Return claim, target, measurement, and whether the median meets the target."""
        target, measured = f"<= {self.at_most * 1e3:g} ms", _milliseconds(spread)
        return self.claim, target, measured, spread.median <= self.at_most


def make_console() -> Console:
    """Return a console that is wide enough for the tables, wherever the output goes."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def cpu_seconds() -> float:
    """Return user plus system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def cpu_per_item(work: Callable[[], int]) -> float:
    """Run `work`, which returns how many items it handled, and return the CPU-seconds of one."""
    gc.collect()
    started = cpu_seconds()
    items = work()
    return (cpu_seconds() - started) / items


def cpu_of_command(command: Sequence[str], log: Path, **environment: str) -> float:
    """Run a command and return the CPU-seconds of its whole process tree.

    Raises:
        RuntimeError: It failed; its output stands in `log`.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("wb") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment, check=False
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text(errors='replace')}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def alternate(arms: Sequence[Arm], *, rounds: int, warm_up: int, console: Console) -> Costs:
    """Measure all arms in turn, `rounds` times, after `warm_up` rounds that do not count."""
    costs: Costs = {arm.name: [] for arm in arms}
    with console.status("") as status:
        for turn in range(-warm_up, rounds):
            for arm in arms:
                status.update(f"round {turn + 1} of {rounds}: {arm.name}")
                cost = arm.cost(max(turn, 0))
                if turn >= 0:
                    costs[arm.name].append(cost)
    return costs


def print_costs(title: str, costs: Costs, *, reference: str, console: Console) -> None:
    """Print what each arm costs, how much it does in a CPU-second, and its speed relative to `reference`."""
    table = Table("arm", "us CPU / item", "items / CPU-s", f"x {reference}", title=title)
    for name, values in costs.items():
        ratio = RatioTarget(claim="", arm=name, peer=reference, at_least=0).measured(costs)
        table.add_row(
            name,
            Spread.of([1e6 * value for value in values]).show(".0f"),
            Spread.of([1 / value for value in values]).show(",.0f"),
            ratio.show(".2f") if ratio else "",
        )
    console.print(table)


def print_times(title: str, costs: Costs, *, console: Console) -> None:
    """Print the milliseconds that each arm takes."""
    table = Table("arm", "ms", title=title)
    for name, values in costs.items():
        table.add_row(name, _milliseconds(Spread.of(values)))
    console.print(table)


def print_targets(targets: Sequence[RatioTarget | TimeTarget], costs: Costs, console: Console) -> None:
    """Print every target with what was measured, and whether the median meets it."""
    table = Table("target", "wanted", "measured", "", title="Targets")
    for target in targets:
        spread = target.measured(costs)
        if spread is None:
            table.add_row(target.claim, "", "", "not measured")
        else:
            *cells, is_met = target.row(spread)
            table.add_row(*cells, "[green]met[/]" if is_met else "[red]falls short[/]")
    console.print(table)


def write_results(
    path: Path,
    costs: Costs,
    *,
    targets: Sequence[RatioTarget | TimeTarget],
    settings: Mapping[str, object],
    packages: Sequence[str],
) -> None:
    """Write every single measurement, the targets, the settings, the versions and the machine as JSON."""
    results = {
        "machine": machine(),
        "versions": versions(packages),
        "settings": settings,
        "targets": [target.row(spread) for target in targets if (spread := target.measured(costs)) is not None],
        "seconds": {name: asdict(Spread.of(values)) | {"rounds": values} for name, values in costs.items() if values},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """Describe what the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those `packages` that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _milliseconds(spread: Spread) -> str:
    digits = ".1f" if spread.median < 0.1 else ".0f"
    return Spread(median=spread.median * 1e3, lowest=spread.lowest * 1e3, highest=spread.highest * 1e3).show(digits)
