"""The command that looks into a dataset: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from shards.dataset import Dataset

app = typer.Typer()
console = Console(soft_wrap=True)

_TOP_CLASSES = 20


@app.command()
def inspect(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for the contact sheet; by default DATASET/inspect.")] = None,
) -> None:
    """Show what a dataset holds: counts, sizes, resolutions, classes, rejects with examples, and a contact sheet.

    Example: maskloom inspect data/photos
    """
    from pipelines.inspect import write_contact_sheet
    from shards.dataset import Dataset
    from shards.storage import storage_errors

    opened = Dataset.open(dataset)
    _print_counts(opened)
    _print_rejects(opened)
    if opened.num_samples == 0:
        return
    _print_distributions(opened)
    _print_targets(opened)
    if "image" in opened.manifest.fields:
        folder = out or dataset / "inspect"
        with storage_errors(folder):
            console.print(f"Contact sheet: {write_contact_sheet(opened, folder)}", highlight=False)


def _print_counts(dataset: Dataset) -> None:
    manifest = dataset.manifest
    console.print(f"{dataset.root}, made from {manifest.source}", highlight=False, markup=False)
    console.print(
        f"{manifest.num_items:,} items = {manifest.num_samples:,} samples in {manifest.num_shards} shards "
        f"+ {manifest.num_rejects:,} rejected",
        highlight=False,
    )
    table = Table("field", "samples", "megabytes", "mean bytes")
    for name, field in manifest.fields.items():
        table.add_row(name, f"{field.samples:,}", f"{field.bytes / 1e6:,.1f}", f"{field.bytes / field.samples:,.0f}")
    console.print(table)


def _print_distributions(dataset: Dataset) -> None:
    from pipelines.inspect import label_counts, spreads

    table = Table("", "least", "5 %", "median", "95 %", "most")
    for name, spread in spreads(dataset).items():
        values = (spread.least, spread.low, spread.median, spread.high, spread.most)
        table.add_row(name, *(f"{value:,.0f}" for value in values))
    console.print(table)
    counts = label_counts(dataset)
    if counts:
        shown = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(_TOP_CLASSES))
        more = f", and {len(counts) - _TOP_CLASSES} more" if len(counts) > _TOP_CLASSES else ""
        console.print(f"{len(counts)} classes: {shown}{more}", highlight=False, markup=False)


def _print_rejects(dataset: Dataset) -> None:
    from pipelines.inspect import reject_examples

    for reason, examples in reject_examples(dataset).items():
        console.print(f"rejected, {reason}: {dataset.manifest.rejects[reason]:,}", highlight=False)
        for source, detail in examples:
            console.print(f"    {source}: {detail}", highlight=False, markup=False)
    for what, count in dataset.manifest.ignored.items():
        console.print(f"not looked at, {what}: {count:,}", highlight=False, markup=False)
    for licence, count in dataset.manifest.licences.items():
        console.print(f"licence, {licence}: {count:,}", highlight=False, markup=False)


def _print_targets(dataset: Dataset) -> None:
    from shards.target_table import read_sealed

    for target_id in dataset.target_ids():
        sealed = read_sealed(dataset.root, target_id)
        console.print(
            f"target {target_id}: {sealed.spec.num_views} views x {sealed.spec.shape} {sealed.spec.dtype}, "
            f"{sealed.num_bytes / 1e6:,.1f} MB",
            highlight=False,
        )
