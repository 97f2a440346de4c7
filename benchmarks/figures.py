"""Figures that are no CPU-seconds: rows of named values, printed as a table and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine, versions

Row = Mapping[str, object]
"""One line of a table, by column."""


def print_rows(title: str, rows: Sequence[Row], console: Console) -> None:
    """Print rows as a table, whose columns are those of the first row."""
    if not rows:
        return
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(_shown(row.get(column, "")) for column in rows[0]))
    console.print(table)


def write_rows(
    path: Path, tables: Mapping[str, Sequence[Row]], *, settings: Mapping[str, object], packages: Sequence[str]
) -> None:
    """Write tables by name, the settings, the versions and the machine as JSON."""
    results = {"machine": machine(), "versions": versions(packages), "settings": settings, "tables": tables}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
