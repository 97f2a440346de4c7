"""How well samples are mixed: a dataset sorted by its labels, in the orders of maskloom and its peers.

    python -m benchmarks.shuffle

1000 labels of 1000 samples each, a label to a shard: the worst that can be stored. Every library may hold as many
samples at a time (`orders.WINDOW`). Of every global batch of an epoch: how many labels are in it, chi-squared of their
counts per degree of freedom, and how often two samples that are stored next to each other (at most 64 apart) come
together, relative to a random order.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.figures import Row, print_rows, write_rows
from benchmarks.measure import make_console
from benchmarks.orders import ORDERS, READERS, WINDOW, Ids
from benchmarks.readers import PACKAGES, is_installed

BATCH = 1024
LABELS = 1000
NEIGHBOURHOOD = 64
UNIFORM = "uniform permutation"
WITHIN = 0.05


def quality(ids: Ids, samples: int) -> Row:
    """Return how the global batches of an epoch are mixed; what does not fill a batch at the end is left out."""
    batches = ids[: len(ids) // BATCH * BATCH].reshape(-1, BATCH)
    counts = np.stack([np.bincount(batch * LABELS // samples, minlength=LABELS) for batch in batches])
    expected = BATCH / LABELS
    return {
        "labels": float((counts > 0).sum(axis=1).mean()),
        "fewest labels": int((counts > 0).sum(axis=1).min()),
        "chi2 / dof": float((((counts - expected) ** 2).sum(axis=1) / expected / (LABELS - 1)).mean()),
        "neighbour lift": float(np.mean([_neighbours(batch) for batch in batches]) / _expected_neighbours(samples)),
    }


def _neighbours(batch: Ids) -> int:
    """Return how many pairs of a batch are stored next to each other."""
    ids = np.sort(batch)
    return int((np.searchsorted(ids, ids + NEIGHBOURHOOD, side="right") - np.arange(1, len(ids) + 1)).sum())


def _expected_neighbours(samples: int) -> float:
    pairs = sum(samples - distance for distance in range(1, NEIGHBOURHOOD + 1))
    return BATCH * (BATCH - 1) / (samples * (samples - 1)) * pairs


def measured(name: str, samples: int) -> Row:
    """Return one line of the table, with the seconds that making an epoch's order took."""
    _, order = ORDERS[name]
    started = time.process_time()
    ids = order(samples, samples // LABELS)
    seconds = time.process_time() - started
    if len(np.unique(ids)) < len(ids):
        raise SystemExit(f"{name} visits some samples twice in an epoch: its order is not what it should be.")
    return {"order": name, **quality(ids, samples), "visited": len(ids), "CPU s": seconds}


def is_met(rows: list[Row]) -> bool:
    """Tell whether maskloom's default order has as many labels in a batch as a uniform one, within 5 per cent."""
    labels = {str(row["order"]): float(str(row["labels"])) for row in rows}
    default = next(count for name, count in labels.items() if name.startswith("maskloom"))
    return default >= (1 - WITHIN) * labels[UNIFORM]


def all_rows(samples: int, console: Console) -> list[Row]:
    """Measure every order whose library is installed, and say which is left out."""
    rows = []
    for name, (module, _) in ORDERS.items():
        if is_installed(module):
            with console.status(name):
                rows.append(measured(name, samples))
        else:
            console.print(f"{name} is left out: there is no module '{module}'.", highlight=False)
    return rows


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Compare how well samples are mixed.")
    command.add_argument("--samples", type=int, default=1_000_000)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/stream-shuffle.json"))
    arguments, console = command.parse_args(), make_console()
    rows = all_rows(arguments.samples, console)
    print_rows(f"Global batches of {BATCH}, {WINDOW:,} samples held", rows, console)
    console.print(f"labels, maskloom / uniform >= {1 - WITHIN}: {'met' if is_met(rows) else 'falls short'}")
    settings = {"samples": arguments.samples, "batch": BATCH, "window": WINDOW, "readers": READERS, "labels": LABELS}
    write_rows(arguments.json, {"shuffle": rows}, settings=settings, packages=("maskloom", "numpy", *PACKAGES))


if __name__ == "__main__":
    main()
